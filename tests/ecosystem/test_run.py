"""The runner of other packages' tests, on small suites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ecosystem import losses, run
from tests.ecosystem.packages import PACKAGES, Package

SUITE = """
import unittest

class Suite(unittest.TestCase):
    def test_passes(self):
        pass

    def test_fails(self):
        self.assertEqual(1, 2)

    def test_fails_in_a_part(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

    @unittest.skip("not here")
    def test_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_fails_as_expected(self):
        self.fail()
"""

EXPECTED = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_fails_in_a_part": "failed",
    "test_is_skipped": "skipped",
    "test_fails_as_expected": "expected failure",
}


@pytest.mark.parametrize(
    "command", [("-m", "unittest"), ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:django", "-c", os.devnull)]
)
def test_outcomes_are_recorded(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Those of unittest, and so of Django's runner, and of pytest."""
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    report = tmp_path / "report.jsonl"
    done = subprocess.run(
        [sys.executable, *command, "test_suite.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(run.HERE / "site"), "ECOSYSTEM_REPORT": str(report), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    assert {test.replace("::", ".").rpartition(".")[2]: outcome for test, outcome, _ in lines} == EXPECTED
    assert {run.last_line(output) for test, _, output in lines if test.endswith("test_fails")} == {
        "AssertionError: 1 != 2"
    }


@pytest.mark.parametrize(
    "source", ["DATABASES = {DATABASES}", "from django.conf import settings; settings.configure(DATABASES={DATABASES})"]
)
def test_databases_are_replaced(tmp_path: Path, source: str) -> None:
    """In settings of a module and of `configure()`: the engine and the server, nothing else."""
    databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "ATOMIC_REQUESTS": True},
        "other_one": {"ENGINE": "django.db.backends.sqlite3", "TEST": {"MIRROR": "default", "NAME": "x"}},
    }
    (tmp_path / "own_settings.py").write_text(source.replace("{DATABASES}", repr(databases)), encoding="utf-8")
    show = "import json; from django.conf import settings; print(json.dumps(settings.DATABASES))"
    done = subprocess.run(
        [sys.executable, "-c", show if source.startswith("DATABASES") else f"import own_settings; {show}"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(run.HERE / "site"), str(tmp_path)]),
            "DJANGO_SETTINGS_MODULE": "own_settings",
            "ECOSYSTEM_HOST": "127.0.0.1:1",
            "ECOSYSTEM_PROJECT": "toys",
        },
        capture_output=True,
        check=True,
    )
    server = {"ENGINE": "memory.backends.firestore", "PROJECT": "toys", "HOST": "127.0.0.1:1"}
    assert json.loads(done.stdout) == {
        "default": {**server, "NAME": "(default)", "ATOMIC_REQUESTS": True, "TEST": {}},
        "other_one": {**server, "NAME": "db-other-one", "TEST": {"MIRROR": "default"}},
    }


def test_the_share_leaves_raw_sql_apart() -> None:
    """A test that passes on SQLite and is not run counts as lost; one that fails on both does not count."""
    sqlite = dict.fromkeys("abcd", ("passed", "")) | {"e": ("failed", "")}
    firestore = {
        "a": ("passed", ""),
        "b": ("failed", "django.db.utils.NotSupportedError: Firestore does not support SQL"),
        "c": ("failed", "AssertionError: 1"),
        "e": ("passed", ""),
    }
    result = run.Result(Package("toys", "1", ()), ("tests",), sqlite, firestore)
    assert set(result.lost) == {"b", "c", "d"}
    assert (result.raw_sql, run.share([result])) == (1, pytest.approx(1 / 3))
    assert "| toys | 1 | 4 | 1 | 1 | 33.3% |" in run.table([result])


def test_a_part_of_a_suite_is_reported_as_one() -> None:
    """With the labels that have run, and those that have not."""
    package = Package("toys", "1", (), labels=("toys.cars toys.trains", "toys.dolls"))
    outcomes = {"a": ("passed", "")}
    text = run.table([run.Result(package, ("toys.cars toys.trains",), outcomes, outcomes)])
    assert "| toys (in part) | 1 | 1 | 1 | 0 | 100.0% |" in text
    assert "Ran: `toys.cars`, `toys.trains`. Not run: `toys.dolls`." in text


def test_tests_that_passed_only_when_repeated_are_listed(tmp_path: Path) -> None:
    """A repetition may hide a fault that depends on the order of tests."""
    package = Package("toys", "1", ())
    work = run.Workspace(tmp_path)
    for file, outcome in (
        (work.outcomes(package, "sqlite", "tests"), "passed"),
        (work.outcomes(package, "firestore", "tests"), "failed"),
        (work.repeated(package), "passed"),
    ):
        file.write_text(json.dumps(["test_car", outcome, ""]) + "\n")
    result = work.result(package)
    assert (result.lost, list(result.repeated)) == ({}, ["test_car"])
    assert "- passed only when repeated (1):\n  - `test_car`" in run.table([result])


def test_skipped_tests_give_their_own_reason() -> None:
    """In the words of unittest and of pytest."""
    assert losses.reason("toys", "a", "skipped", "SQLite only") == "skips itself: SQLite only"
    output = "('/tests/test_a.py', 16, 'Skipped: SQLite only')"
    assert losses.reason("toys", "a", "skipped", output) == "skips itself: SQLite only"


def test_each_package_is_there_once() -> None:
    """With one version."""
    assert len({package.name for package in PACKAGES}) == len(PACKAGES) >= 25


def test_the_engine_is_that_of_this_checkout(tmp_path: Path) -> None:
    """Also where an earlier run, of a checkout that is gone, left its link."""
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "memory").symlink_to(tmp_path / "gone")
    engine = run.Workspace(tmp_path).libraries / "memory"
    assert engine.resolve() == run.ROOT / "memory"
