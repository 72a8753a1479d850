"""The short version of the soak; the long one is `python -m tests.soak.index`."""

import subprocess
import sys


def test_nothing_is_missed_and_nothing_counted_twice() -> None:
    """While writers and packers work at once and packers are killed, on an SQLite file."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.index", "--seconds=8"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"missed": 0' in done.stdout
    assert '"kills"' in done.stdout
