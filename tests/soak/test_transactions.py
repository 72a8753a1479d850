"""The short versions of `python -m tests.soak.money` and `python -m tests.soak.serializability`."""

import os
import subprocess
import sys

import pytest

from .fleet import ROOT

pytestmark = [pytest.mark.firestore_emulator]


def soak(name: str, emulator: str, *options: str) -> None:
    """One of them, in a process of its own, since it has settings of its own."""
    command = [sys.executable, "-m", f"tests.soak.{name}", "--processes", "3", *options]
    environment = {**os.environ, "FIRESTORE_EMULATOR_HOST": emulator}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_money_is_neither_made_nor_lost(firestore_emulator: str) -> None:
    """Snapshots, balances and moves agree while calls fail, and processes that end leave no lock behind."""
    soak("money", firestore_emulator, "--seconds", "7", "--kill-every", "0")


def test_random_transactions_are_serializable(firestore_emulator: str) -> None:
    """What processes read and append while calls fail and some are killed has a serial order."""
    soak("serializability", firestore_emulator, "--seconds", "7", "--kill-every", "3")
