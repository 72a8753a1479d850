"""`make run` in separate processes: first start, second start, and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from memory.testing.emulator import free_port

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 60


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The development environment with separate databases, in a folder that does not exist yet."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {
        **kept,
        "APP_ENV": "development",
        "ENV_FILE": os.devnull,
        "DATABASE_URL": f"sqlite:///{tmp_path}/data/service.sqlite3",
        "MEMORY_DATABASE_URL": f"sqlite:///{tmp_path}/data/memory.sqlite3",
    }


@pytest.fixture
def port() -> int:
    return free_port()


def bootstrap(environment: dict[str, str], port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "bootstrap", "--port", str(port)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


# A shell starts background jobs with SIGINT ignored, which Python keeps. `preexec_fn` would fork, which aborts if the
# process has used gRPC.
INTERRUPTIBLE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def status(url: str) -> int | None:
    """The response's status; None while no server responds."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_ends_quietly(
    environment: dict[str, str], port: int, end: signal.Signals, tmp_path: Path
) -> None:
    """Started twice, its pages and static files are there; Ctrl-C or SIGTERM ends it without a traceback."""
    first, second = bootstrap(environment, port), bootstrap(environment, port)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Log in as admin with the password" in first.stdout
    assert "Log in as" not in second.stdout
    log = tmp_path / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, sys.executable, "manage.py", "runserver", "--noreload", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            started = time.monotonic()
            while status(f"http://127.0.0.1:{port}/api/health") != 200:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() - started < TIMEOUT_SECONDS
                time.sleep(0.2)
            for path in ("/admin/login/", "/static/admin/css/base.css", "/api/docs/"):
                assert status(f"http://127.0.0.1:{port}{path}") == 200, path
            server.send_signal(end)
            assert server.wait(TIMEOUT_SECONDS) in (0, -end)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
    assert "Traceback" not in log.read_text()


def test_a_database_that_cannot_be_used(environment: dict[str, str], port: int, tmp_path: Path) -> None:
    """One clear sentence and no traceback."""
    (tmp_path / "data").write_text("in the way")
    made = bootstrap(environment, port)
    assert made.returncode != 0
    assert "The databases cannot be created: File exists: " in made.stderr
    assert "Traceback" not in made.stderr
