import json
import os
from importlib.util import find_spec

import pytest

# On Firestore without the transaction of a test, in which its own writes are read from memory.
DATABASE = pytest.mark.django_db(
    transaction=os.environ.get("MEMORY_TEST_ENGINE") == "firestore", databases=["default", "memory"]
)

ADAPTERS = {
    "adk": "google.adk",
    "crewai": "crewai",
    "langchain": "langchain_core",
    "langgraph": "langgraph",
    "llama_index": "llama_index",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai",
}
"""The modules of `memory.adapters` that are adapters, and the module of each framework."""


def is_installed(module: str) -> bool:
    """Whether a module can be imported; its parent may be missing."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


RESULTS = os.environ.get("MEMORY_CONFORMANCE")


def record(suite: str, part: str, passed: int, failed: int, skipped: int) -> None:
    """Write a result of an outside suite for docs/adapters/conformance.md, if `tests.adapters.run` asks for it."""
    if RESULTS:
        line = {"suite": suite, "part": part, "passed": passed, "failed": failed, "skipped": skipped}
        with open(RESULTS, "a") as file:
            file.write(json.dumps(line) + "\n")
