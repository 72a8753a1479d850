"""The latency of health probes while storage hangs, or all threads compute, and requests wait for every thread.

    python -m tests.soak.probes
    FIRESTORE_EMULATOR_HOST=localhost:8080 python -m tests.soak.probes

gunicorn with two workers of four threads, and Redis behind a proxy; production's settings on SQLite, or staging's on
the emulator behind another proxy. In each phase 24 clients send requests without a pause, and another process probes.
Fails if a probe of `live` takes more than `AT_ONCE`, or one of the others more than `HEALTH_TIMEOUT` and `AT_ONCE`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import string
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import requests

from memory.testing.redis import RedisServer
from tests import live
from tests.faults.tcp import Proxy

from .service import AT_ONCE, CACHE_TTL, ITEMS, probing

CLIENTS = 24
HEALTH_TIMEOUT = 2.0
"""The default of `MEMORY["HEALTH_TIMEOUT"]`."""

SETTLE_SECONDS = 10
"""How long the requests of a phase may go on after it: the engine's deadline, and more."""

JSON = {"Content-Type": "application/json"}
ROWS, CHARACTERS = 500, 32_000
HOSTILE = b'{"metadata":{"a":[' + b'"a",' * 60_000 + b'"a"]}}'
PATHS = {"/api/health/live": "live", "/api/health": "health", "/api/health/ready": "ready"}


@dataclass
class Phase:
    """What happened during a phase: seconds and statuses by probe, and of the clients' requests by kind."""

    name: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PATHS.values()})
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in PATHS.values()})
    requests: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0

    def add(self, path: str, at: float, seconds: float, status: Any) -> None:
        """A probe; those that began outside of the phase are left out."""
        if self.began <= at <= self.ended:
            self.seconds[PATHS[path]].append(seconds)
            self.statuses[PATHS[path]][str(status)] += 1

    def problems(self) -> list[str]:
        """What took too long, or had another status than 200 (`live`) or 200 and 503."""
        limits = {"live": AT_ONCE, "health": HEALTH_TIMEOUT + AT_ONCE, "ready": HEALTH_TIMEOUT + AT_ONCE}
        allowed = {"live": {"200"}, "health": {"200", "503"}, "ready": {"200", "503"}}
        late = [
            f"{self.name}: {name} took {max(found):.2f} s"
            for name, found in self.seconds.items()
            if max(found, default=limits[name] + 1) > limits[name]
        ]
        wrong = [
            f"{self.name}: {name} answered {dict(found)}"
            for name, found in self.statuses.items()
            if found.keys() - allowed[name]
        ]
        return late + wrong

    def row(self) -> str:
        """A line of a Markdown table."""
        ranked = sorted(self.seconds["live"]) or [0.0]
        figures = [f"{ranked[len(ranked) // 2] * 1000:.1f} ms", f"{ranked[-1] * 1000:.0f} ms"]
        for name in ("health", "ready"):
            statuses = ", ".join(sorted(self.statuses[name]))
            figures.append(f"{max(self.seconds[name], default=0):.2f} s ({statuses})")
        return f"| {self.name} | {len(ranked)} | {' | '.join(figures)} | {'; '.join(self.answered())} |"

    def answered(self) -> Iterator[str]:
        """Number and status of the requests of each kind, and the longest."""
        for kind, found in sorted(self.requests.items()):
            counts = sorted(Counter(status for status, _ in found).items())
            statuses = ", ".join(f"{count} of {status}" for status, count in counts)
            yield f"{kind}: {statuses}, at most {max(seconds for _, seconds in found):.1f} s"


@dataclass(frozen=True)
class Scene:
    """A running service and what can fail beside it."""

    service: live.Service
    folder: Path
    headers: Mapping[str, str]
    redis: Proxy
    firestore: Proxy | None


@contextmanager
def deployed() -> Iterator[Scene]:
    """Everything, started."""
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST", "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Proxy(stack.enter_context(RedisServer()).port))
        firestore = stack.enter_context(Proxy(int(emulator.rpartition(":")[2]))) if emulator else None
        variables = {
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "CACHE_TTL": str(CACHE_TTL),
            "LOG_LEVEL": "ERROR",
        }
        variables |= {"WEB_CONCURRENCY": "2", "WEB_THREADS": "4", "THROTTLE_USER": "1000000/s"}
        if firestore:
            project = f"probes-{uuid.uuid4().hex[:12]}"
            variables |= {"APP_ENV": "staging", "MEMORY_DATABASE_URL": "", "GCP_PROJECT_ID": project}
            variables["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{firestore.port}"
        live.make_databases(folder)
        known = {**live.deployed(folder), **variables}
        if firestore:
            live.manage("migrate", "--verbosity=0", "--database=memory", **known)
        create = "from django.contrib.auth.models import User; User.objects.create_user('user-0')"
        live.manage("shell", "-v0", "-c", create, **known)
        token = live.manage("memory_tokens", "create", "user-0", **known).strip()
        service = stack.enter_context(live.service(folder, **variables))
        yield Scene(service, folder, {"Authorization": f"Token {token}"}, redis, firestore)


@contextmanager
def nothing() -> Iterator[None]:
    """No fault."""
    yield


@contextmanager
def swallowing(proxy: Proxy) -> Iterator[None]:
    """Connections stand, and nothing arrives."""
    proxy.blackhole()
    try:
        yield
    finally:
        proxy.heal()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """No other process writes to this SQLite database."""
    with contextlib.closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


Request = Callable[[requests.Session, str], requests.Response]


def listing(session: requests.Session, url: str) -> requests.Response:
    """A list: storage answers it."""
    return session.get(f"{url}{ITEMS}?limit=20", timeout=60)


def single(session: requests.Session, url: str) -> requests.Response:
    """One item."""
    return session.post(f"{url}{ITEMS}", json={"item_type": "message", "text_content": text(200)}, timeout=60)


def bulk(session: requests.Session, url: str) -> requests.Response:
    """500 items of 32 KB."""
    return session.post(f"{url}{ITEMS}bulk/", data=large_bulk(), timeout=120, headers=JSON)


@cache
def large_bulk() -> bytes:
    """The body of a bulk request near the largest."""
    rows = [{"item_type": "message", "text_content": text(CHARACTERS)} for _ in range(ROWS)]
    return json.dumps({"items": rows}).encode()


def text(characters: int) -> str:
    """A text of words of seven letters, which no other text has."""
    letters = "".join(random.Random().choices(string.ascii_lowercase, k=characters))  # noqa: S311
    return " ".join(letters[start : start + 7] for start in range(0, characters, 8))


def hostile(session: requests.Session, url: str) -> requests.Response:
    """A body that is parsed and refused."""
    return session.post(f"{url}{ITEMS}", data=HOSTILE, timeout=60, headers=JSON)


def phases(scene: Scene) -> Iterator[tuple[str, Callable[[], Any], Sequence[Request]]]:
    """Name, fault and requests of each phase."""
    yield "lists", nothing, [listing]
    yield "one client writes bulks of 500 x 32 KB", nothing, [bulk, *[single] * 12, *[listing] * 11]
    yield "bodies of 60,000 values", nothing, [hostile]
    yield "Redis hangs", lambda: swallowing(scene.redis), [listing]
    if scene.firestore:
        firestore = scene.firestore
        yield "Firestore hangs", lambda: swallowing(firestore), [listing, single]
    else:
        yield "SQLite is locked", lambda: locked(scene.folder / "memory.sqlite3"), [single]


def load(scene: Scene, phase: Phase, send: Request, ended: threading.Event) -> None:
    """One client."""
    with requests.Session() as session:
        session.headers.update(scene.headers)
        while not ended.is_set():
            asked = time.monotonic()
            try:
                status = str(send(session, scene.service.url).status_code)
            except requests.RequestException as error:
                status = type(error).__name__
            phase.requests.setdefault(send.__name__, []).append((status, time.monotonic() - asked))


def disturb(scene: Scene, phase: Phase, fault: Callable[[], Any], sent: Sequence[Request], seconds: float) -> None:
    """Requests, and after a second the fault."""
    ended = threading.Event()
    chosen = islice(cycle(sent), CLIENTS)
    clients = [threading.Thread(target=load, args=(scene, phase, send, ended)) for send in chosen]
    for client in clients:
        client.start()
    time.sleep(1)
    try:
        with fault():
            time.sleep(0.5)
            phase.began = time.time()
            time.sleep(seconds)
            phase.ended = time.time()
    finally:
        ended.set()
    for client in clients:
        client.join()
    time.sleep(SETTLE_SECONDS)


def run(seconds: float, only: str = "") -> Iterator[Phase]:
    """All phases, of `seconds` each."""
    large_bulk()  # takes seconds
    with deployed() as scene, probing(scene.service.url, scene.folder):
        for name, fault, sent in phases(scene):
            if only not in name:
                continue
            phase = Phase(name)
            disturb(scene, phase, fault, sent, seconds)
            for line in (scene.folder / "probes.jsonl").read_text().splitlines():
                phase.add(*json.loads(line))
            yield phase


def main() -> int:
    """Run, and print a table; 1 if a probe was late."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15, help="of each phase")
    parser.add_argument("--only", default="", help="the phases whose names contain this")
    options = parser.parse_args()
    header = "| | probes of live | median | most | health, most | ready, most | requests |"
    sys.stdout.write(f"{header}\n{'| --- ' * header.count(' |')}|\n")
    problems: list[str] = []
    for phase in run(options.seconds, options.only):
        sys.stdout.write(f"{phase.row()}\n")
        sys.stdout.flush()
        problems += phase.problems()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
