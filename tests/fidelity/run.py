"""Run Django's own tests, unmodified, on SQLite and on the engine, and write a table of docs/fidelity.md.

    python -m tests.fidelity.run [--source DIR] [--jobs N] [--keep DIR] [--write] [MODULE ...]

The tests are those of the installed Django, which has a table of its own. Its source distribution is fetched with pip
unless `--source` names an unpacked one. A test counts as
kept if it passes on both; the bar is a share of those that pass on SQLite. The emulator is the gcloud SDK's,
or FIRESTORE_EMULATOR_HOST.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import django

from memory.backends.firestore.django_tests import EXPECTED_FAILURES
from memory.testing.emulator import emulator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "fidelity.md"
VERSION = ".".join(map(str, django.VERSION[:2]))
BEGIN, END = f"<!-- table of Django {VERSION}: begin -->", f"<!-- table of Django {VERSION}: end -->"
SECONDS = 3600

BASE_MODULES = (
    "basic",
    "lookup",
    "or_lookups",
    "xor_lookups",
    "null_queries",
    "ordering",
    "dates",
    "datetimes",
    "get_earliest_or_latest",
    "bulk_create",
    "update",
    "update_only_fields",
    "delete",
    "defer",
    "get_or_create",
    "custom_pk",
    "custom_managers",
    "model_fields",
    "aggregation",
    "expressions",
    "expressions_case",
    "async",
    "many_to_one",
    "one_to_one",
    "pagination",
    "from_db_value",
    "field_defaults",
    "queryset_pickle",
    "validation",
    "transactions",
    "transaction_hooks",
    "select_for_update",
    "constraints",
    "force_insert_update",
    "test_utils",
    "contenttypes_tests",
    "sessions_tests",
    "auth_tests",
    "admin_changelist",
    "admin_views",
    "admin_utils",
    "generic_views",
    "model_forms",
    "fixtures",
    "signals",
    "save_delete_hooks",
)

RELATED_MODULES = (
    "admin_custom_urls",
    "aggregation_regress",
    "composite_pk",
    "custom_lookups",
    "defer_regress",
    "delete_regress",
    "expressions_window",
    "filtered_relation",
    "fixtures_regress",
    "flatpages_tests",
    "foreign_object",
    "generic_relations_regress",
    "inline_formsets",
    "known_related_objects",
    "m2m_intermediary",
    "m2m_multiple",
    "m2m_recursive",
    "m2m_regress",
    "m2m_signals",
    "m2m_through",
    "m2m_through_regress",
    "many_to_many",
    "model_inheritance",
    "model_inheritance_regress",
    "model_regress",
    "nested_foreign_keys",
    "null_fk",
    "null_fk_ordering",
    "order_with_respect_to",
    "prefetch_related",
    "proxy_model_inheritance",
    "proxy_models",
    "reverse_lookup",
    "select_related",
    "select_related_onetoone",
    "select_related_regress",
    "serializers",
)

SCHEMA_MODULES = ("backends", "inspectdb", "introspection", "migrations", "raw_query", "schema")
"""Modules about tables and SQL, in which many tests are of what Firestore does not have."""

BARS = {BASE_MODULES: 0.985, RELATED_MODULES: 0.95, SCHEMA_MODULES: 0.85}
"""The share of tests to keep, by group of modules."""

GROUPS = {"base": BASE_MODULES, "relations": RELATED_MODULES, "schemas": SCHEMA_MODULES}
"""The names of the groups in the tables."""

MODULES = (*BASE_MODULES, *RELATED_MODULES, *SCHEMA_MODULES)

Outcomes = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Result:
    """One module on both engines."""

    module: str
    sqlite: Outcomes
    firestore: Outcomes

    @property
    def expected(self) -> list[str]:
        """The tests that pass on SQLite."""
        return [test for test, (outcome, _) in self.sqlite.items() if outcome == "passed"]

    @property
    def lost(self) -> dict[str, Sequence[str]]:
        """Those of them that do not pass on Firestore, with outcome and reason."""
        found = {test: self.firestore.get(test, ("missing", "not run")) for test in self.expected}
        return {test: outcome for test, outcome in found.items() if outcome[0] != "passed"}

    @property
    def unexplained(self) -> Iterator[str]:
        """Tests that pass though they are expected to fail, that crash, or that fail without a known reason."""
        yield from (test for test, (outcome, _) in self.firestore.items() if outcome == "unexpected success")
        known = frozenset().union(*EXPECTED_FAILURES.values())
        yield from (
            test
            for test, (outcome, _) in self.lost.items()
            if outcome == "crashed" or (outcome != "skipped" and test not in known)
        )


def source(given: str | None) -> Path:
    """The directory of Django's tests, of the version that is installed."""
    if given:
        return Path(given) / "tests"
    directory = Path(tempfile.gettempdir()) / f"django-{django.__version__}-source"
    tests = directory / f"django-{django.__version__}" / "tests"
    if not tests.exists():
        directory.mkdir(exist_ok=True)
        requirement = f"Django=={django.__version__}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-binary",
            ":all:",
            "--no-deps",
            requirement,
        ]
        subprocess.run([*command, "-d", str(directory)], check=True)
        [archive] = directory.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
    return tests


def run(tests: Path, engine: str, module: str, environment: Mapping[str, str]) -> Outcomes:
    """The outcomes of a module's tests on one engine."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        command = [
            sys.executable,
            "-W",
            "ignore",
            "runtests.py",
            f"--settings=tests.fidelity.settings_{engine}",
        ]
        done = subprocess.run(
            [*command, "--parallel=1", "--noinput", "-v0", module],
            cwd=tests,
            env={**environment, "FIDELITY_REPORT": str(report)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if not report.exists():
            raise SystemExit(f"{module} on {engine} ended before it reported:\n{done.stderr[-2000:]}")
        outcomes: Outcomes = json.loads(report.read_text())
        return outcomes


def table(results: Iterable[Result]) -> str:
    """The results in Markdown: one line a module and a group, then every test that was lost, with its reason."""
    results = list(results)
    lines = ["| module | pass on SQLite | of these on Firestore | share |", "|---|---|---|---|"]
    lines += [_line(result.module, len(result.expected), len(result.lost)) for result in results]
    groups = {name: [r for r in results if r.module in modules] for name, modules in GROUPS.items()}
    for name, ran in {**groups, "all": results}.items():
        if ran:
            lines.append(_line(f"**{name}**", sum(len(r.expected) for r in ran), sum(len(r.lost) for r in ran)))
    lines += ["", "Not kept:", ""]
    for result in results:
        for test, (outcome, reason) in sorted(result.lost.items()):
            lines.append(f"- `{test}`: {outcome}: {reason}" if reason else f"- `{test}`: {outcome}")
    return "\n".join(lines)


def _line(name: str, expected: int, lost: int) -> str:
    share = (expected - lost) / expected if expected else 1.0
    return f"| {name} | {expected} | {expected - lost} | {share:.1%} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if each group of modules reaches its bar, and each lost test is known with its reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--source", help="an unpacked source distribution of Django")
    parser.add_argument("--jobs", type=int, default=1, help="modules to run at the same time")
    parser.add_argument("--keep", type=Path, help="a directory for results: modules that have one there are not run")
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    tests = source(options.source)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "FIRESTORE_EMULATOR_HOST": emulator(uuid.uuid4().hex),
    }

    def both(module: str) -> Result:
        kept = options.keep / f"{module}.json" if options.keep else None
        if kept is not None and kept.exists():
            return Result(module, **json.loads(kept.read_text(encoding="utf-8")))
        project = {**environment, "FIDELITY_PROJECT": f"fidelity-{uuid.uuid4().hex[:8]}"}
        result = Result(module, run(tests, "sqlite", module, project), run(tests, "firestore", module, project))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps({"sqlite": result.sqlite, "firestore": result.firestore}), encoding="utf-8")
        sys.stdout.write(_line(module, len(result.expected), len(result.lost)) + "\n")
        sys.stdout.flush()
        return result

    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(both, options.modules or MODULES))
    text = table(results)
    sys.stdout.write(text + "\n")
    if options.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    unexplained = [test for result in results for test in result.unexplained]
    for test in unexplained:
        sys.stdout.write(f"{test}: not as memory.backends.firestore.django_tests says\n")
    reached = [share(results, modules) >= bar for modules, bar in BARS.items()]
    return 0 if all(reached) and not unexplained else 1


def share(results: Sequence[Result], modules: Sequence[str]) -> float:
    """The share of tests that a group of modules keeps; 1 if none of them was run."""
    ran = [result for result in results if result.module in modules]
    expected = sum(len(result.expected) for result in ran)
    return 1 - sum(len(result.lost) for result in ran) / expected if expected else 1.0


if __name__ == "__main__":
    sys.exit(main())
