"""A pytest plugin: fixtures for Firestore's emulator, usable by projects that install the app.

In a project's `conftest.py`:

    pytest_plugins = ["memory.testing.plugin"]

A test that asks for `firestore_emulator` (or a fixture built on it) is skipped where no emulator can be had, which the
summary says in one line; with MEMORY_REQUIRE_BACKENDS=1 it fails instead.
"""

from __future__ import annotations

import os
import uuid

import pytest

from memory.testing import emulator

_run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex  # the same in all processes of a run
_skipped: set[str] = set()


@pytest.fixture(scope="session")
def firestore_emulator() -> str:
    """The address, "host:port", of the run's emulator; one a run, also under pytest-xdist."""
    try:
        return emulator.emulator(_run_id)
    except emulator.EmulatorUnavailable as error:
        if os.environ.get("MEMORY_REQUIRE_BACKENDS") == "1":
            pytest.fail(f"MEMORY_REQUIRE_BACKENDS=1, but {error}", pytrace=False)
        _skipped.add(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def firestore_project() -> str:
    """A project id of this test process's own: the emulator keeps the documents of projects apart."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"test-{_run_id[:8]}-{worker}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in sorted(_skipped):
        terminalreporter.write_line(f"No Firestore emulator, its tests skipped: {reason}", yellow=True)
