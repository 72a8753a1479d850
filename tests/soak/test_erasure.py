"""The short version of the soak; the long one is `python -m tests.soak.erasure`."""

import subprocess
import sys

import pytest


@pytest.mark.redis
def test_nothing_of_an_erased_person_comes_back() -> None:
    """While processes write the person, and writers, the eraser and Redis are killed, on an SQLite file."""
    sizes = ("--people=2", "--items=200", "--writers=2", "--rounds=1", "--kills=1")
    times = ("--seconds=1", "--check=0.3", "--write=0.7")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.erasure", *sizes, *times],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No remains" in done.stderr
