"""Runs the adapters' tests with their frameworks, and writes the results of outside suites to a page of the docs.

    python -m tests.adapters.run

SQLite first, then PostgreSQL and the Firestore emulator if they are installed, then mypy with the frameworks' own
types. The environment has the packages of requirements-adapters.txt: `make test-adapters`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adapters/conformance.md"
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "firestore": "Firestore emulator"}
# Options of a plugin that comes with langchain-tests, whose async tests have no marks.
OPTIONS = ("-o", "asyncio_default_fixture_loop_scope=function", "-o", "asyncio_mode=auto")
PYTEST = [sys.executable, "-m", "pytest", *OPTIONS, "tests/adapters"]
PACKAGES = {
    "langgraph-checkpoint-conformance": ("langgraph-checkpoint-conformance", "langgraph-checkpoint", "langgraph"),
    "langchain-tests": ("langchain-tests", "langchain-core"),
}
NPM = {"@modelcontextprotocol/conformance": ("0.2.0-alpha.12", "mcp")}
"""Suites of npm: their versions, and the package of Python that speaks the same."""
HEAD = """# Conformance

Results of the frameworks' own suites, unmodified. `make test-adapters` runs them, together with the tests in
`tests/adapters/`, and writes this page.

"""
SECTION = """## {suite}

With {packages}.

| tests | {engines} |
| --- | {rule} |
{rows}
"""


def main(arguments: list[str]) -> int:
    """Run everything; 0 if all passed."""
    results: dict[str, list[dict[str, Any]]] = {}
    failed = 0
    for engine in ENGINES:
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
            environment = {**os.environ, "MEMORY_CONFORMANCE": file.name, "MEMORY_TEST_ENGINE": engine}
            failed += subprocess.run([*PYTEST, *arguments], cwd=ROOT, env=environment, check=False).returncode != 0
            results[engine] = [json.loads(line) for line in file]
    failed += subprocess.run([sys.executable, "-m", "mypy", "memory/adapters"], cwd=ROOT, check=False).returncode != 0
    PAGE.write_text(page(results))
    return int(failed > 0)


def page(results: dict[str, list[dict[str, Any]]]) -> str:
    """The page for results by engine."""
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for engine, lines in results.items():
        for line in lines:
            found[line["suite"]][line["part"]][engine] = text_of(line)
    sections = known_sections() | {suite: section(suite, found[suite]) for suite in found}
    return HEAD + "\n".join(sections[suite] for suite in sorted(sections))


def known_sections() -> dict[str, str]:
    """The sections of the page by suite, which stay for suites that are not run: `run -k test_mcp`."""
    parts = PAGE.read_text().split("\n## ")[1:]
    return {part.splitlines()[0]: f"## {part.rstrip()}\n" for part in parts}


def section(suite: str, parts: dict[str, dict[str, str]]) -> str:
    """The section of a suite."""
    rows = "\n".join(row([part, *(parts[part].get(engine, "not run") for engine in ENGINES)]) for part in sorted(parts))
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES.get(suite, NPM.get(suite, ())[1:]))
    packages = f"{suite} {NPM[suite][0]}, {packages}" if suite in NPM else packages
    rule = " | ".join("---" for _ in ENGINES)
    return SECTION.format(suite=suite, packages=packages, engines=" | ".join(ENGINES.values()), rule=rule, rows=rows)


def text_of(line: dict[str, Any]) -> str:
    """What a cell says."""
    total = line["passed"] + line["failed"]
    return f"{line['passed']} of {total}" + (f", {line['skipped']} skipped" if line["skipped"] else "")


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
