"""A PostgreSQL for tests: a server of the installed package in a temporary folder, on a free port, without durability.

With `MEMORY_TEST_ENGINE=postgresql` the app's models are on it (`environment.py`).
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

OWNER = "postgres"
START_SECONDS = "60"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: Debian's newest, or that of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@cache
def url() -> str:
    """The URL of a server that ends with this process. Raises `RuntimeError` without the package."""
    folder = programs()
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed.")
    data = Path(tempfile.mkdtemp(prefix="memory-postgresql-"))
    if os.getuid() == 0:  # PostgreSQL does not run as root
        shutil.chown(data, OWNER)
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    port = _free_port()
    _run(
        folder / "initdb", "-D", data / "db", "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
    )
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    _run(folder / "pg_ctl", "-D", data / "db", "-l", data / "log", "-o", options, "-w", "-t", START_SECONDS, "start")
    atexit.register(_run, folder / "pg_ctl", "-D", data / "db", "-m", "immediate", "stop")
    return f"postgresql://{OWNER}@127.0.0.1:{port}/{OWNER}"


def _run(*command: str | Path) -> None:
    as_owner = ["runuser", "-u", OWNER, "--"] if os.getuid() == 0 else []
    subprocess.run([*as_owner, *map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
