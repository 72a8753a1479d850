"""A conversation's history over HTTP with many clients: two services, measured in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from .api_list import served

PROJECT = Path(__file__).resolve().parent.parent
CLIENTS, CONVERSATIONS, ITEMS, WORKERS = 50, 20, 200, 2
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


def fill(env: Mapping[str, str]) -> str:
    """Create tables, conversations and their owner; return the owner's token."""
    for alias in ("default", "memory"):
        subprocess.run(  # noqa: S603
            [sys.executable, "manage.py", "migrate", f"--database={alias}", "-v0"], cwd=PROJECT, env=env, check=True
        )
    program = f"import django; django.setup()\n{FILL}"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=PROJECT, env=env, check=True, stdout=subprocess.PIPE, text=True
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
