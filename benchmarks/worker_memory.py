"""The memory of a gunicorn worker under mixed requests: `python -m benchmarks.worker_memory --seconds 600 --cache 32`.

One worker of four threads with production's settings, SQLite and a Redis. Eight clients write items, one by one and in
bulk, of many users, and list, retrieve, search and read conversations, without pauses. Prints the worker's resident
memory over time, and ends with 1 where it exceeds the bound, which depends on `--cache`, the MiB of
`MEMORY["SEARCH_CACHE_BYTES"]`. The worker is not restarted after a number of requests.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from memory.testing.redis import RedisServer

from .api_list import PROJECT, environment, served, workers_of

CLIENTS, USERS, SESSIONS, WORDS_OF_A_TEXT, BULK = 8, 300, 5, 30, 50
MEGABYTE = 1024 * 1024
BASE = 400
"""In MiB: the process with the models of search, and the requests in progress. Caches of indexes are added."""
ISSUE = """
import django; django.setup()
from django.contrib.auth import get_user_model
from memory.access.models import AccessToken
print(AccessToken.objects.issue(get_user_model().objects.create_superuser("root"))[1])
"""
WORDS = tuple(
    f"{first}{second}{last}" for first in "bdfglmnprst" for second in ("a", "ei", "o") for last in ("n", "r", "le")
)


def prepare(env: Mapping[str, str]) -> str:
    """Create the tables and a superuser; return the token."""
    for alias in ("default", "memory"):
        migrate = [sys.executable, "manage.py", "migrate", f"--database={alias}", "-v0"]
        subprocess.run(migrate, cwd=PROJECT, env=env, check=True)  # noqa: S603
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", ISSUE], cwd=PROJECT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()[-1]


class Client:
    """Sends random requests, and counts the statuses of each kind."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        self.url, self.random, self.statuses = url, random.Random(seed), Counter[tuple[str, int]]()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"

    def text(self) -> str:
        """Words, some of them rare."""
        rare = f"w{self.random.randrange(100_000)}"
        return " ".join([*self.random.choices(WORDS, k=WORDS_OF_A_TEXT), rare])

    def item(self, user: str) -> dict[str, object]:
        """The body of a new item."""
        session = f"s{self.random.randrange(SESSIONS)}"
        return {"user_id": user, "session_id": session, "item_type": "message", "text_content": self.text()}

    def send(self) -> None:
        """One request."""
        user = f"u{min(self.random.randrange(USERS), self.random.randrange(USERS))}"
        kind = self.random.choices(("create", "bulk", "list", "search", "history"), (30, 5, 20, 20, 25))[0]
        history = f"/api/sessions/{user}:s{self.random.randrange(SESSIONS)}/history/"
        question = " ".join(self.random.choices(WORDS, k=5))
        answer = {
            "create": lambda: self.session.post(f"{self.url}/api/memory-items/", json=self.item(user), timeout=60),
            "bulk": lambda: self.session.post(
                f"{self.url}/api/memory-items/bulk/", json={"items": [self.item(user) for _ in range(BULK)]}, timeout=60
            ),
            "list": lambda: self.session.get(f"{self.url}/api/memory-items/?user_id={user}", timeout=60),
            "search": lambda: self.session.get(
                f"{self.url}/api/memory-items/search/", params={"q": question, "user_id": user}, timeout=60
            ),
            "history": lambda: self.session.get(f"{self.url}{history}", timeout=60),
        }[kind]()
        self.statuses[kind, answer.status_code] += 1

    def run(self, until: float) -> None:
        """Send requests until a time."""
        while time.monotonic() < until:
            self.send()


@dataclass(frozen=True)
class Sample:
    """Seconds and requests so far, and the memory of the largest worker in MiB; `own` is not shared with others."""

    seconds: float
    requests: int
    resident: float
    own: float


def memory_of(master: int) -> tuple[float, float]:
    """The resident memory of the largest worker, and what of it is shared with no other process, in MiB."""
    found = []
    for worker in workers_of(master):
        lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()[1:]
        kibibytes = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines)}
        found.append((kibibytes["Rss"] / 1024, (kibibytes["Private_Clean"] + kibibytes["Private_Dirty"]) / 1024))
    return max(found)


def soak(port: int, master: int, token: str, seconds: float, samples: int) -> Sequence[Sample]:
    """Samples at equal intervals; prints the statuses of all answers."""
    clients = [Client(f"http://127.0.0.1:{port}", token, seed) for seed in range(CLIENTS)]
    began = time.monotonic()
    threads = [threading.Thread(target=client.run, args=(began + seconds,)) for client in clients]
    for thread in threads:
        thread.start()
    curve = []
    for number in range(samples + 1):
        time.sleep(max(0.0, began + number * seconds / samples - time.monotonic()))
        done = sum(client.statuses.total() for client in clients)
        curve.append(Sample(time.monotonic() - began, done, *memory_of(master)))
    for thread in threads:
        thread.join()
    counted = sum((client.statuses for client in clients), Counter[tuple[str, int]]())
    print(", ".join(f"{kind} {status}: {count}" for (kind, status), count in sorted(counted.items())))
    return curve


def main() -> int:
    """Print the curve."""
    parser = argparse.ArgumentParser(description="The memory of a worker under mixed requests.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--cache", type=int, default=256, help="SEARCH_CACHE_BYTES in MiB")
    parser.add_argument(
        "--account", metavar="FILE", help="append what the memory consists of: benchmarks.worker_account"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder, RedisServer() as redis:
        env = {
            **environment(folder),
            "REDIS_URL": redis.url,
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "benchmarks.worker_settings",
            "SEARCH_CACHE_BYTES": str(given.cache * MEGABYTE),
            "GUNICORN_CMD_ARGS": "--max-requests 0",
            **({"WORKER_ACCOUNT": str(Path(given.account).resolve())} if given.account else {}),
        }
        token = prepare(env)
        with served(env, 1) as (port, master):
            curve = soak(port, master, token, given.seconds, given.samples)
    for one in curve:
        print(f"| {one.seconds:.0f} | {one.requests:,} | {one.resident:.0f} | {one.own:.0f} |")
    return int(max(one.resident for one in curve) > BASE + given.cache)


if __name__ == "__main__":
    sys.exit(main())
