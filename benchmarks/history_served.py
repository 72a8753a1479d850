"""A conversation's history over HTTP with many clients: two services, measured in turns.

    git worktree add ../before COMMIT
    python -m benchmarks.history_served --before ../before

compares this checkout with another one, each with a database of its own on one emulator. `benchmarks.cache` compares
the service with the cache and without.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles

from memory.testing.emulator import emulator
from memory.testing.redis import RedisServer

from .api_list import served

PROJECT = Path(__file__).resolve().parent.parent
CLIENTS, CONVERSATIONS, ITEMS, WORKERS = 50, 20, 200, 2
BAR = 0.6
"""The ratio to the version before the app's verbs were made faster (f08ddf6)."""
SETTINGS: Mapping[str, str] = {"with": "settings", "without": "benchmarks.uncached"}
FILL = f"""
from datetime import UTC, datetime, timedelta
from django.contrib.auth import get_user_model
from memory.access.models import AccessToken
from memory.models import MemoryItem

start = datetime(2026, 1, 1, tzinfo=UTC)
for number in range({CONVERSATIONS}):
    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id="bench", session_id=f"chat-{{number}}", item_type="message", text_content="x" * 500,
            timestamp=start + timedelta(seconds=turn), metadata={{"role": "assistant" if turn % 2 else "user"}},
        )
        for turn in range({ITEMS})
    )
print(AccessToken.objects.issue(get_user_model().objects.create_user("bench"))[1])
"""


@dataclass
class Load:
    """Measurements of one service: seconds per request, and of all turns."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def environment(folder: str, redis_url: str) -> dict[str, str]:
    """Staging settings with the Firestore emulator, users in SQLite, and without throttling."""
    return {
        **os.environ,
        "APP_ENV": "staging",
        "DJANGO_SETTINGS_MODULE": "settings",
        "SECRET_KEY": "only-for-this-benchmark-only-for-this-benchmark-0123456789",
        "GCP_PROJECT_ID": f"benchmark-{os.getpid()}",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "THROTTLE_USER": "100000000/min",
        "LOG_LEVEL": "WARNING",
        "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
        "MEMORY_DATABASE_URL": "",
        "REDIS_URL": redis_url,
    }


def fill(env: Mapping[str, str], project: Path = PROJECT) -> str:
    """Create tables, conversations and their owner; return the owner's token."""
    for alias in ("default", "memory"):
        subprocess.run(  # noqa: S603
            [sys.executable, "manage.py", "migrate", f"--database={alias}", "-v0"], cwd=project, env=env, check=True
        )
    program = f"import django; django.setup()\n{FILL}"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=project, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()[-1]


def ask(port: int, token: str, path: str, until: float, latencies: list[float]) -> None:
    """One client: request the same page repeatedly over one connection until a time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Token {token}"})
        answer = connection.getresponse()
        body = answer.read()
        latencies.append(time.perf_counter() - begun)
        assert answer.status == 200, body


def turn(port: int, token: str, seconds: float, load: Load) -> None:
    """Run all clients concurrently for some seconds."""
    begun = time.perf_counter()
    mine: Sequence[list[float]] = [[] for _ in range(CLIENTS)]
    paths = [f"/api/sessions/bench:chat-{number % CONVERSATIONS}/history/" for number in range(CLIENTS)]
    clients = [
        threading.Thread(target=ask, args=(port, token, path, begun + seconds, latencies))
        for path, latencies in zip(paths, mine, strict=True)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    load.seconds += time.perf_counter() - begun
    load.latencies += [latency for each in mine for latency in each]


def measure(folder: str, redis_url: str, seconds: float, turns: int) -> dict[str, Load]:
    """Measure the services with and without the cache, each `turns` times for `seconds`."""
    env = environment(folder, redis_url)
    token = fill(env)
    loads = {name: Load() for name in SETTINGS}
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(served({**env, "DJANGO_SETTINGS_MODULE": module}, WORKERS))[0]
            for name, module in SETTINGS.items()
        }
        for port in ports.values():
            turn(port, token, 1.0, Load())  # warm-up
        for _ in range(turns):
            for name, port in ports.items():
                turn(port, token, seconds, loads[name])
    return loads


def compare(before: Path, seconds: float, turns: int) -> dict[str, Load]:
    """Measure the service of another checkout and that of this one."""
    loads = {"before": Load(), "now": Load()}
    with ExitStack() as stack:
        ports = {}
        for name, project in (("before", before), ("now", PROJECT)):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="history-"))
            redis = stack.enter_context(RedisServer())
            env = {**environment(folder, redis.url), "GCP_PROJECT_ID": f"benchmark-{name}-{os.getpid()}"}
            token = fill(env, project)
            ports[name] = stack.enter_context(served(env, WORKERS, project))[0], token
        for port, token in ports.values():
            turn(port, token, 1.0, Load())  # warm-up
        for _ in range(turns):
            for name, (port, token) in ports.items():
                turn(port, token, seconds, loads[name])
    return loads


def main() -> int:
    """Print the percentiles and their ratios; the status is 1 if one is above the bar."""
    parser = argparse.ArgumentParser(description="The history over HTTP, beside another checkout.")
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each service in each turn")
    parser.add_argument("--turns", type=int, default=4)
    given = parser.parse_args()
    os.environ["FIRESTORE_EMULATOR_HOST"] = emulator(uuid.uuid4().hex)
    loads = compare(given.before.resolve(), given.seconds, given.turns)
    ratios = []
    for percent in (50, 99):
        before, now = (quantiles(load.latencies, n=100)[percent - 1] * 1000 for load in loads.values())
        ratios.append(now / before)
        sys.stdout.write(f"p{percent}: {before:.0f} ms before, {now:.0f} ms now, {ratios[-1]:.2f}x\n")
    rates = [len(load.latencies) / load.seconds for load in loads.values()]
    sys.stdout.write(f"requests/s: {rates[0]:.0f} before, {rates[1]:.0f} now; no errors\n")
    return 0 if max(ratios) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
