"""Tests of adapters need their frameworks, which `make test-adapters` installs. Others are not collected."""

import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from memory.adapters import owned

from . import is_installed, record

# A module of the framework, the start of the names of its tests, and the section of the page on conformance.
FRAMEWORKS = (
    ("google.adk", "test_adk", "Google ADK"),
    ("crewai", "test_crewai", "CrewAI"),
    ("langgraph", "test_langgraph", "LangGraph"),
    ("agents", "test_openai_agents", "OpenAI Agents SDK"),
    ("langchain_core", "test_langchain", "LangChain"),
    ("llama_index", "test_llama_index", "LlamaIndex"),
    ("mcp_types", "test_mcp", "MCP"),
    ("pydantic_ai", "test_pydantic_ai", "PydanticAI"),
)

collect_ignore_glob = [f"{start}*" for module, start, _ in FRAMEWORKS if not is_installed(module)]


if is_installed("crewai"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its modules, which are loaded once
        import_module("crewai.memory.unified_memory")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests of contracts for docs/adapters/conformance.md. Outside suites are counted by their tests."""
    name = Path(report.location[0]).stem
    suites = [suite for _, start, suite in FRAMEWORKS if name.startswith(start) and not name.endswith("conformance")]
    if suites and (report.when == "call" or (report.when == "setup" and report.outcome != "passed")):
        counts = (report.outcome == outcome for outcome in ("passed", "failed", "skipped"))
        record(suites[0], name, *map(int, counts))


@pytest.fixture(autouse=True)
def closed_pools() -> Iterator[None]:
    """Threads of adapters end with the test, and with them their connections to its database."""
    yield
    owned.close_pools()
