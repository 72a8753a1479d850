"""A pytest plugin with fixtures for the Firestore emulator.

In a project's `conftest.py`:

    pytest_plugins = ["memory.testing.plugin"]

Tests that use `firestore_emulator` are skipped if the emulator is unavailable, which the summary reports. With
MEMORY_REQUIRE_BACKENDS=1 they fail instead.
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
    """The address, "host:port", of the run's emulator, shared by pytest-xdist workers."""
    try:
        return emulator.emulator(_run_id)
    except emulator.EmulatorUnavailable as error:
        if os.environ.get("MEMORY_REQUIRE_BACKENDS") == "1":
            pytest.fail(f"MEMORY_REQUIRE_BACKENDS=1, but {error}", pytrace=False)
        _skipped.add(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def firestore_project() -> str:
    """A project id for this test process, which isolates its documents in the emulator."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"test-{_run_id[:8]}-{worker}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in sorted(_skipped):
        terminalreporter.write_line(f"Firestore emulator unavailable, tests skipped: {reason}", yellow=True)
