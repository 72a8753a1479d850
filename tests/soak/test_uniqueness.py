"""The short version of the soak; the long one is `python -m tests.soak.uniqueness`."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.firestore_emulator


def test_one_row_for_each_key_whatever_fails(firestore_emulator: str) -> None:
    """With failing calls and killed processes: one row per key, matching markers, and no false outcome."""
    options = {"rows": 72, "keys": 18, "processes": 3, "rate": 0.2, "kills": 3, "seed": 7}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.uniqueness", *(f"--{name}={value}" for name, value in options.items())],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": firestore_emulator},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 of 18 keys" in done.stdout
    assert "'made': 18, 'refused': 54" in done.stdout or "'refused': 54, 'made': 18" in done.stdout
