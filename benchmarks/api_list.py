"""List requests per second: `python benchmarks/api_list.py [--requests 10000] [--workers 2] [--rows 20000]`.

Serves databases of its own in a temporary folder with gunicorn and production's settings, walks through the pages of
several users' items over HTTP with tokens, checks every page, and prints requests per second, latencies, and the CPU
time that the service took for a request: the figure that holds on a machine that others use too. Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from memory.testing.emulator import free_port

PROJECT = Path(__file__).resolve().parent.parent
USERS = 4
QUIETLY = ("--access-logfile", "/dev/null", "--log-level", "warning")
FILL = """
import sys
from datetime import UTC, datetime, timedelta
from django.contrib.auth import get_user_model
from memory.access.models import AccessToken
from memory.models import MemoryItem

users, rows = int(sys.argv[1]), int(sys.argv[2])
start = datetime(2026, 1, 1, tzinfo=UTC)
for user in range(users):
    print(AccessToken.objects.issue(get_user_model().objects.create_user(f"user-{user}"))[1])
for first in range(0, rows, 500):
    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=f"user-{n % users}",
            session_id=f"session-{n // 100}",
            item_type="message",
            timestamp=start + timedelta(seconds=n),
            text_content=f"Message number {n}: what was said in a turn of a conversation, of a usual length.",
            metadata={"role": "user" if n % 2 else "assistant", "topic": "travel"},
        )
        for n in range(first, min(first + 500, rows))
    )
"""


def environment(folder: str) -> dict[str, str]:
    """Production settings with databases in `folder` and without throttling."""
    return {
        **os.environ,
        "APP_ENV": "production",
        "SECRET_KEY": "only-for-this-benchmark-only-for-this-benchmark-0123456789",
        "GCP_PROJECT_ID": "benchmark",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "THROTTLE_USER": "100000000/min",
        "LOG_LEVEL": "WARNING",
        "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
        "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        "DJANGO_SETTINGS_MODULE": "settings",
    }


def fill(env: Mapping[str, str], rows: int) -> list[str]:
    """Create tables, users and items; return the users' tokens."""
    manage = [sys.executable, str(PROJECT / "manage.py")]
    for alias in ("default", "memory"):
        subprocess.run([*manage, "migrate", f"--database={alias}", "-v0"], env=env, check=True)  # noqa: S603
    program = f"import django; django.setup()\n{FILL}"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(USERS), str(rows)],
        env=env,
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


@contextmanager
def served(env: Mapping[str, str], workers: int, project: Path = PROJECT) -> Iterator[tuple[int, int]]:
    """Run the service of a checkout with gunicorn; yields its port and process id."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", *QUIETLY]
    server = subprocess.Popen(  # noqa: S603
        [*command, "--bind", f"127.0.0.1:{port}", "--workers", str(workers), "orchestra.wsgi"],
        env=dict(env),
        cwd=project,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:  # the port is open before workers are forked
                if probe.connect_ex(("127.0.0.1", port)) == 0 and workers_of(server.pid):
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError("The service has no worker after a minute.")
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def walk(port: int, token: str, count: int, latencies: list[float]) -> None:
    """Request `count` pages of 50 by following `next`, restarting at the end."""
    connection = HTTPConnection("127.0.0.1", port)
    first = path = "/api/memory-items/?limit=50"
    for _ in range(count):
        before = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Token {token}"})
        response = connection.getresponse()
        page = json.loads(response.read())
        latencies.append(time.perf_counter() - before)
        assert response.status == 200, page
        assert len(page["results"]) == 50 or not page["has_more"]
        following = urlsplit(page["next"] or first)
        path = f"{following.path}?{following.query}"


def workers_of(master: int) -> list[int]:
    """The process ids of gunicorn's workers."""
    return list(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


def cpu_seconds(master: int) -> float:
    """Total CPU time of gunicorn and its workers, including exited ones."""
    pids = [master, *workers_of(master)]
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: utime, stime, cutime, cstime, in ticks.
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")


def measure(port: int, tokens: list[str], requests: int) -> tuple[float, list[float]]:
    """Seconds for all requests, and for each."""
    latencies: list[list[float]] = [[] for _ in tokens]
    threads = [
        threading.Thread(target=walk, args=(port, token, requests // len(tokens), mine))
        for token, mine in zip(tokens, latencies, strict=True)
    ]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - before, [latency for mine in latencies for latency in mine]


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="api-list-") as folder:
        env = environment(folder)
        tokens = fill(env, options.rows)
        with served(env, options.workers) as (port, master):
            measure(port, tokens, 40)  # imports, caches
            before = cpu_seconds(master)
            seconds, latencies = measure(port, tokens, options.requests)
            cpu = cpu_seconds(master) - before
    assert len(latencies) == options.requests // USERS * USERS, "a client stopped early"
    cuts = statistics.quantiles(latencies, n=100)
    print(
        f"{len(latencies)} list requests, 50 items each of {options.rows}, {USERS} clients, {options.workers} workers: "
        f"{len(latencies) / seconds:.0f} requests/s; "
        f"median {cuts[49] * 1000:.1f} ms, 95 % below {cuts[94] * 1000:.1f} ms, 99 % below {cuts[98] * 1000:.1f} ms; "
        f"CPU of the service {cpu / len(latencies) * 1000:.1f} ms a request, "
        f"it had {cpu / seconds:.2f} cores on average"
    )


if __name__ == "__main__":
    main()
