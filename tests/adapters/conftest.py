"""Tests of adapters need their frameworks, which `make test-adapters` installs. Others are not collected."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from memory.adapters import owned

# A framework, and the start of the names of its tests.
FRAMEWORKS = {
    "google.adk": "test_adk",
    "langgraph": "test_langgraph",
    "agents": "test_openai_agents",
    "langchain_core": "test_langchain",
    "llama_index": "test_llama_index",
    "mcp": "test_mcp",
}

collect_ignore_glob = [f"{name}*" for framework, name in FRAMEWORKS.items() if find_spec(framework) is None]


@pytest.fixture(autouse=True)
def closed_pools() -> Iterator[None]:
    """Threads of adapters end with the test, and with them their connections to its database."""
    yield
    owned.close_pools()
