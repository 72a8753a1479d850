"""The short version of the soak; the long one is `python -m tests.soak.jobs --queue django-tasks-db`."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.firestore_emulator


def test_each_job_runs_once(firestore_emulator: str) -> None:
    """With failing calls and a killed worker."""
    options = {"jobs": 60, "processes": 4, "rate": 0.05, "kill-every": 2, "seconds": 240}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.jobs", *(f"--{name}={value}" for name, value in options.items())],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": firestore_emulator},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'ran': " in done.stdout
