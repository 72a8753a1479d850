"""The emulator for tests: one a run, shared by its processes, gone with the last of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from memory.testing import emulator
from tests.waiting import wait_until

pytest_plugins = ["pytester"]

USER = """
import sys
from memory.testing.emulator import emulator
print(emulator(sys.argv[1]), flush=True)
sys.stdin.read()
"""


def start_user(run_id: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "FIRESTORE_EMULATOR_HOST"}
    return subprocess.Popen(
        [sys.executable, "-c", USER, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def address_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def is_gone(address: str, directory: Path, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not directory.exists() and not emulator._responds(address):
            return True
        time.sleep(0.1)
    return False


def test_processes_of_a_run_share_one_that_ends_with_the_last_even_if_killed(firestore_emulator: str) -> None:
    """Two users get one address; it outlives the first, and is gone after the second was killed outright."""
    run_id = f"shared-{uuid.uuid4().hex[:8]}"
    directory = Path(tempfile.gettempdir()) / f"firestore-emulator-{run_id}"
    first, second = start_user(run_id), start_user(run_id)
    try:
        address = address_of(first)
        assert address == address_of(second) != ""
        first.communicate("")
        time.sleep(0.6)  # two turns of the supervisor
        assert emulator._responds(address)
    finally:
        for user in (first, second):
            user.send_signal(signal.SIGKILL)
            user.communicate()
    assert is_gone(address, directory)


def test_one_in_the_foreground_ends_with_its_process(firestore_emulator: str) -> None:
    """A signal that ends the process ends the emulator."""
    port = emulator.free_port()
    shell = subprocess.Popen(
        [sys.executable, "-m", "memory.testing.emulator", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    address = f"127.0.0.1:{port}"
    try:
        wait_until(lambda: emulator._responds(address), "the emulator runs", 60)
        shell.terminate()
        wait_until(lambda: not emulator._responds(address), "the emulator is gone", 20)
    finally:
        shell.kill()
        shell.wait()


def test_given_emulator_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, firestore_emulator: str) -> None:
    """FIRESTORE_EMULATOR_HOST wins over starting one."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    assert emulator.emulator("given") == firestore_emulator


def test_given_emulator_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong FIRESTORE_EMULATOR_HOST is an error that says so, not a silent second emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{emulator.free_port()}")
    with pytest.raises(emulator.EmulatorUnavailable, match="FIRESTORE_EMULATOR_HOST"):
        emulator.emulator("given")


def test_missing_sdk_is_a_reason_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gcloud there is no emulator, and the reason names both ways to get one."""
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("PATH", "")
    reason = emulator.unavailable_reason()
    assert reason is not None
    assert "gcloud is not on PATH" in reason
    assert "FIRESTORE_EMULATOR_HOST" in reason


def test_missing_emulator_fails_where_backends_are_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixture skips with one visible line, and fails with MEMORY_REQUIRE_BACKENDS=1."""
    pytester.makeconftest('pytest_plugins = ["memory.testing.plugin"]')
    pytester.makepyfile("def test_it(firestore_emulator): pass\ndef test_other(firestore_emulator): pass")
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": "",
        "FIRESTORE_EMULATOR_HOST": "",
        "MEMORY_REQUIRE_BACKENDS": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    skipped = pytester.runpytest_subprocess("-p", "no:django", "-p", "no:randomly")
    skipped.assert_outcomes(skipped=2)
    assert str(skipped.stdout).count("Firestore emulator unavailable, tests skipped") == 1
    monkeypatch.setenv("MEMORY_REQUIRE_BACKENDS", "1")
    pytester.runpytest_subprocess("-p", "no:django", "-p", "no:randomly").assert_outcomes(errors=2)
