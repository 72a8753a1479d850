"""Runs the adapters' tests with their frameworks, and writes the results of outside suites to a page of the docs.

    python -m tests.adapters.run [--engine sqlite --engine firestore] [PYTEST OPTIONS]

SQLite first, then PostgreSQL and the Firestore emulator, then mypy with the frameworks' own types. The page keeps the
sections of frameworks that this environment does not have: `make test-adapters` runs it in two environments.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adapters/conformance.md"
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "firestore": "Firestore emulator"}
# Options of a plugin that comes with langchain-tests, whose async tests have no marks.
ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function", "-o", "asyncio_mode=auto")
OPTIONS = ASYNCIO if find_spec("pytest_asyncio") else ()
PYTEST = [sys.executable, "-m", "pytest", *OPTIONS, "tests/adapters"]
PACKAGES = {
    "CrewAI": ("crewai",),
    "Google ADK": ("google-adk",),
    "LangChain": ("langchain-core",),
    "LangGraph": ("langgraph", "langgraph-checkpoint"),
    "LlamaIndex": ("llama-index-core",),
    "MCP": ("mcp",),
    "OpenAI Agents SDK": ("openai-agents",),
    "PydanticAI": ("pydantic-ai-slim",),
    "langgraph-checkpoint-conformance": ("langgraph-checkpoint-conformance", "langgraph-checkpoint", "langgraph"),
    "langchain-tests": ("langchain-tests", "langchain-core"),
}
NPM = {"@modelcontextprotocol/conformance": ("0.2.0-alpha.12", "mcp")}
"""Suites of npm: their versions, and the package of Python that speaks the same."""
COUNTS = ("passed", "failed", "skipped")
Parts = dict[str, dict[str, Counter[str]]]
"""Counts by the name of a part, and by the engine."""
HEAD = """# Conformance

Results of the frameworks' own suites, unmodified: @modelcontextprotocol/conformance, langchain-tests,
langgraph-checkpoint-conformance. The other sections are this project's tests of contracts whose framework packages no
suite, by their files in `tests/adapters/`. `make test-adapters` runs all of them and writes this page.

"""
SECTION = """## {suite}

With {packages}.

| tests | {engines} |
| --- | {rule} |
{rows}
"""


def main(arguments: list[str]) -> int:
    """Run everything; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only on this engine; may be repeated")
    given, options = parser.parse_known_args(arguments)
    results: dict[str, list[dict[str, Any]]] = {}
    failed = 0
    for engine in given.engine or ENGINES:
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
            environment = {**os.environ, "MEMORY_CONFORMANCE": file.name, "MEMORY_TEST_ENGINE": engine}
            failed += subprocess.run([*PYTEST, *options], cwd=ROOT, env=environment, check=False).returncode != 0
            results[engine] = [json.loads(line) for line in file]
    failed += subprocess.run([sys.executable, "-m", "mypy", "memory/adapters"], cwd=ROOT, check=False).returncode != 0
    PAGE.write_text(page(results))
    return int(failed > 0)


def page(results: dict[str, list[dict[str, Any]]]) -> str:
    """The page for results by engine."""
    found: dict[str, Parts] = defaultdict(lambda: defaultdict(dict))
    for engine, lines in results.items():
        for line in lines:
            cell = found[line["suite"]][line["part"]].setdefault(engine, Counter())
            cell.update({name: line[name] for name in COUNTS})
    sections = known_sections() | {suite: section(suite, found[suite]) for suite in found}
    return HEAD + "\n".join(sections[suite] for suite in sorted(sections))


def known_sections() -> dict[str, str]:
    """The sections of the page by suite, which stay for suites that are not run: `run -k test_mcp`."""
    parts = PAGE.read_text().split("\n## ")[1:]
    return {part.splitlines()[0]: f"## {part.rstrip()}\n" for part in parts}


def section(suite: str, parts: Parts) -> str:
    """The section of a suite."""
    rows = "\n".join(row([part, *(text_of(parts[part].get(engine)) for engine in ENGINES)]) for part in sorted(parts))
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES.get(suite, NPM.get(suite, ())[1:]))
    packages = f"{suite} {NPM[suite][0]}, {packages}" if suite in NPM else packages
    rule = " | ".join("---" for _ in ENGINES)
    return SECTION.format(suite=suite, packages=packages, engines=" | ".join(ENGINES.values()), rule=rule, rows=rows)


def text_of(counts: Counter[str] | None) -> str:
    """What a cell says."""
    if counts is None:
        return "not run"
    if not counts["passed"] + counts["failed"]:
        return f"{counts['skipped']} skipped"
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return f"{counts['passed']} of {counts['passed'] + counts['failed']}{skipped}"


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
