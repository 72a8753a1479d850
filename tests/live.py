"""Real processes for tests: the service under gunicorn with production's settings, and a Redis."""

from __future__ import annotations

import atexit
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

import requests

from memory.testing.emulator import free_port

from . import backends
from .waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "a-password-for-tests"
START_SECONDS = 60


@dataclass(frozen=True)
class Redis:
    """A running Redis that asks for `PASSWORD`."""

    process: subprocess.Popen[bytes]
    port: int


@contextmanager
def redis() -> Iterator[Redis]:
    """A Redis of one's own."""
    executable, port = backends.redis_server(), free_port()
    assert executable is not None
    arguments = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), "Redis listens", START_SECONDS)
        yield Redis(process, port)
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    """Whether something of this machine listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def executables() -> Path:
    """The folder of the environment's commands."""
    return Path(sys.executable).parent


def deployed(folder: Path) -> dict[str, str]:
    """The variables of a production service that keeps its databases in `folder`."""
    return {
        "PATH": f"{executables()}:/usr/bin:/bin",
        "HOME": str(folder),
        "ENV_FILE": "/dev/null",
        "DJANGO_SETTINGS_MODULE": "settings",
        "APP_ENV": "production",
        "SECRET_KEY": "a-key-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "GCP_PROJECT_ID": "a-project",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "THROTTLE_ANONYMOUS": "2/min",
        "DATABASE_URL": f"sqlite:///{folder}/orchestra.sqlite3",
        "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
    }


def manage(*arguments: str, cwd: Path = ROOT, **variables: str) -> str:
    """Run a management command; its output."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def migrate(**variables: str) -> None:
    """Make both databases of a service with these variables."""
    for alias in ("default", "memory"):
        manage("migrate", "--verbosity=0", f"--database={alias}", **variables)


def make_databases(folder: Path) -> None:
    """Both databases of the service `deployed(folder)`: copies of those that the migrations made once in this run."""
    for file in _migrated().iterdir():
        copy(file, folder)


@cache
def _migrated() -> Path:
    made = TemporaryDirectory()
    atexit.register(made.cleanup)
    migrate(**deployed(Path(made.name)))
    return Path(made.name)


@dataclass(frozen=True)
class Service:
    """The running service; `log` is what it wrote so far."""

    process: subprocess.Popen[bytes]
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        """All that gunicorn and Django wrote."""
        return self.log_file.read_text()

    def request(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        """One request; redirects are not followed."""
        return requests.request(method, self.url + path, timeout=30, allow_redirects=False, **options)


GUNICORN = ("gunicorn", "-c", "deploy/gunicorn.conf.py", "orchestra.wsgi")


@contextmanager
def service(folder: Path, cwd: Path = ROOT, command: Sequence[str] = GUNICORN, **variables: str) -> Iterator[Service]:
    """The service on a free port: gunicorn, one process unless `WEB_CONCURRENCY` says otherwise."""
    port, log = free_port(), folder / "service.log"
    environment = {**deployed(folder), "WEB_CONCURRENCY": "1", "PORT": str(port), **variables}
    executable = shutil.which(command[0], path=environment["PATH"])
    assert executable is not None, command[0]
    with log.open("wb") as output:
        process = subprocess.Popen([executable, *command[1:]], cwd=cwd, env=environment, stdout=output, stderr=output)
    try:
        running = Service(process, f"http://localhost:{port}", log)
        wait_until(lambda: process.poll() is not None or listens(port), "the service listens", START_SECONDS)
        assert process.poll() is None, log.read_text()
        # The first answer takes the time of loading the project; tests measure those after it.
        assert running.request("/api/health/live").status_code == 200, log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
