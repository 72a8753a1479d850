"""Mixed load on the deployed service while its processes, Redis, the network and SQLite fail.

    python -m tests.soak.service --seconds 1200
    FIRESTORE_EMULATOR_HOST=localhost:8080 python -m tests.soak.service --seconds 1200

gunicorn with two workers of four threads, and Redis behind a proxy; production's settings on SQLite, or staging's on
the emulator behind another proxy. Clients write, change, delete, list, search and read conversations; each write has an
`Idempotency-Key`, and is sent again until it has an answer.
Faults: a worker is killed or stopped; Redis is stopped, killed, or restored from an old snapshot; its network is cut or
swallows data; another process locks SQLite, or the emulator's network is cut or swallows data. At the end the database
is compared with what was acknowledged.

`--niceness -10` gives the service and the probes precedence over other processes of the machine, as if they had it for
themselves; it needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from memory.testing.redis import RedisServer
from tests import live
from tests.faults.tcp import Proxy

CACHE_TTL = 5
"""How long a change that a fault hid from Redis may be invisible."""

LATE_SECONDS = CACHE_TTL + 2
ANSWER_SECONDS = 150
AT_ONCE = 0.2
MOST_GROWTH = 1.1
"""The most memory of a worker in the last quarter of a long run, as a multiple of that in the second quarter."""

LONG_SECONDS = 600
ITEMS = "/api/memory-items/"
# Errors that tell the client to try again, or that the outcome is unknown.
EXPLAINED = frozenset({"unavailable", "contention", "outcome_unknown"})
WORDS = [
    "train",
    "plane",
    "river",
    "bread",
    "music",
    "winter",
    "garden",
    "letter",
    "doctor",
    "window",
    "market",
    "silver",
]


@dataclass
class Outcome:
    """The results; `problems` must be empty."""

    problems: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    late_seconds: float = 0.0
    live: list[float] = field(default_factory=list)
    live_lost: int = 0
    live_of_stopped: int = 0
    health: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    items: int = 0
    engine: str = "SQLite, production's settings"

    def summary(self) -> dict[str, Any]:
        """The figures."""
        ranked = sorted(self.live) or [0.0]
        quarters = [self._memory_of(quarter) for quarter in range(4)]
        return {
            "problems": self.problems[:20],
            "requests": dict(self.requests),
            "sent again after": dict(self.retries),
            "faults": dict(self.faults),
            "items at the end": self.items,
            "latest read, seconds": round(self.late_seconds, 2),
            "live": {
                "probes": len(self.live),
                "median_ms": round(ranked[len(ranked) // 2] * 1000, 1),
                "p99_ms": round(ranked[int(len(ranked) * 0.99)] * 1000, 1),
                "most_ms": round(ranked[-1] * 1000, 1),
                "connections lost with a killed worker": self.live_lost,
                "held by a stopped worker": self.live_of_stopped,
            },
            "health, most seconds": round(max(self.health, default=0), 2),
            "MiB of the workers, most in each quarter": quarters,
        }

    def table(self, seconds: float) -> str:
        """The figures as a table for docs/reliability.md."""
        live = self.summary()["live"]
        sent_again = ", ".join(f"{count} {reason}" for reason, count in self.retries.most_common()) or "none"
        rows = {
            "requests": f"{self.requests.total():,}",
            "faults": ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items())),
            "sent again after": sent_again,
            "items at the end": f"{self.items:,}",
            "lost, doubled, stale beyond `CACHE_TTL`, unexplained 5xx": f"{len(self.problems)} problems",
            "latest read of a write": f"{self.late_seconds:.1f} s",
            "`live`: probes, median, 99 %, most": (
                f"{live['probes']:,}, {live['median_ms']} ms, {live['p99_ms']} ms, {live['most_ms']} ms"
            ),
            "`live`: lost with a killed worker, held by a stopped one": f"{self.live_lost}, {self.live_of_stopped}",
            "`health` and `ready`, most": f"{max(self.health, default=0):.2f} s",
            "memory of the largest worker, in each quarter": ", ".join(
                f"{self._memory_of(quarter)} MiB" for quarter in range(4)
            ),
        }
        lines = [f"| {seconds:,.0f} s | {self.engine} |", "| --- | --- |"]
        return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])

    def _memory_of(self, quarter: int) -> int:
        if not self.memory:
            return 0
        first, last = self.memory[0][0], self.memory[-1][0]
        length = (last - first) / 4 or 1
        found = [size for at, size in self.memory if int(min(3, (at - first) / length)) == quarter]
        return max(found, default=0) // 2**20


class Client:
    """One user's client, which knows what was acknowledged; each has conversations of its own."""

    def __init__(self, soak: Soak, number: int, token: str) -> None:
        self.soak, self.number = soak, number
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"
        self.chance = random.Random(f"{soak.seed} {number}")  # noqa: S311
        # By session: acknowledged texts by id; and texts of writes that never had an answer.
        self.known: dict[str, dict[str, str]] = {}
        self.deleted: set[str] = set()
        self.unanswered: set[str] = set()
        self.written = 0

    def run(self) -> None:
        """Act until the end."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self.add, 8),
            (self.add_many, 2),
            (self.change, 3),
            (self.delete, 1),
            (self.forget, 1),
            (self.read, 5),
            (self.search, 1),
            (self.list, 2),
        ]
        functions, weights = zip(*actions, strict=True)
        while not self.soak.ended.is_set():
            self.chance.choices(functions, weights)[0]()
            time.sleep(self.chance.uniform(0.05, 0.3))

    def conversation(self) -> str:
        """One of this client's sessions; a new one every fifty writes."""
        return f"s{self.number}-{self.written // 50}"

    def text(self) -> str:
        """A text that no other write has."""
        self.written += 1
        return f"{self.number}-{self.written} {' '.join(self.chance.choices(WORDS, k=12))}"

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> requests.Response | None:
        """Send a request again until it has an answer that is not an error to repeat; None if time is up."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            self.soak.outcome.requests[f"{method} {path.split('?')[0].split('/')[2]}"] += 1
            try:
                response = self.session.request(
                    method,
                    self.soak.url + path,
                    json=body,
                    timeout=60,
                    headers={"Idempotency-Key": key} if key else {},
                )
            except requests.RequestException as error:
                self.soak.outcome.retries[type(error).__name__] += 1
                time.sleep(0.2)
                continue
            code = "" if response.ok else response.json()["error"]["code"]
            if response.status_code >= 500:
                self.soak.note_error(response.status_code, code, path)
            elif code != "idempotency_key_in_use":
                return response
            self.soak.outcome.retries[code] += 1
            time.sleep(min(float(response.headers.get("Retry-After", 0.5)), 2))
        self.soak.problem(f"no answer within {ANSWER_SECONDS} s: {method} {path}")
        return None

    def write(self, method: str, path: str, body: Any = None) -> requests.Response | None:
        """A write with a key."""
        return self.send(method, path, body, uuid.uuid4().hex)

    def expect(self, response: requests.Response | None, *codes: int) -> bool:
        """Whether the response has one of these statuses; others are problems."""
        if response is None:
            return False
        if response.status_code not in codes:
            self.soak.problem(f"{response.request.method} {response.request.path_url}: {response.text[:200]}")
        return response.status_code in codes

    def add(self) -> None:
        """One item."""
        session, text = self.conversation(), self.text()
        self.unanswered.add(text)
        response = self.write("POST", ITEMS, {"item_type": "message", "session_id": session, "text_content": text})
        if self.expect(response, 201) and response is not None:
            self.unanswered.discard(text)
            self.known.setdefault(session, {})[response.json()["id"]] = text

    def add_many(self) -> None:
        """A bulk."""
        session = self.conversation()
        texts = [self.text() for _ in range(5)]
        self.unanswered.update(texts)
        rows = [{"item_type": "message", "session_id": session, "text_content": text} for text in texts]
        response = self.write("POST", f"{ITEMS}bulk/", {"items": rows})
        if self.expect(response, 201) and response is not None:
            self.unanswered.difference_update(texts)
            self.known.setdefault(session, {}).update(zip(response.json()["ids"], texts, strict=True))

    def any_item(self) -> tuple[str, str] | None:
        """A session and an id of a known item."""
        found = [(session, pk) for session, items in self.known.items() for pk in items]
        return self.chance.choice(found) if found else None

    def change(self) -> None:
        """Replace the text of an item."""
        if (place := self.any_item()) is None:
            return
        session, pk = place
        text = self.text()
        response = self.write("PATCH", f"{ITEMS}{pk}/", {"text_content": text})
        if self.expect(response, 200):
            self.known[session][pk] = text
        else:
            self.known[session].pop(pk)
            self.unanswered.add(text)

    def delete(self) -> None:
        """Delete an item."""
        if (place := self.any_item()) is None:
            return
        session, pk = place
        text = self.known[session].pop(pk)
        # A process may end between the deletion and its answer: docs/api.md.
        if self.expect(self.write("DELETE", f"{ITEMS}{pk}/"), 204, 404):
            self.deleted.add(pk)
        else:
            self.unanswered.add(text)

    def forget(self) -> None:
        """Delete the oldest of four conversations and more, so that there is always as much stored."""
        if len(self.known) < 4:
            return
        session = min(self.known, key=lambda name: int(name.rpartition("-")[2]))
        items = self.known.pop(session)
        if self.expect(self.write("DELETE", f"/api/sessions/user-{self.number}%3A{session}/"), 204, 404):
            self.deleted.update(items)
        else:
            self.unanswered.update(items.values())

    def read(self) -> None:
        """A conversation has all that was acknowledged, at most `LATE_SECONDS` later."""
        session = self.conversation()
        if not self.known.get(session):
            return
        path = f"/api/sessions/user-{self.number}%3A{session}/history/?limit=200"
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            response = self.send("GET", path)
            if response is None:
                return
            rows = response.json()["results"] if response.status_code == 200 else []
            seen = {row["id"]: row["text_content"] for row in rows}
            wrong = {pk for pk, text in self.known[session].items() if seen.get(pk) != text} | (
                seen.keys() & self.deleted
            )
            if not wrong:
                self.soak.outcome.late_seconds = max(self.soak.outcome.late_seconds, asked - began)
                return
            if asked - began > LATE_SECONDS:
                self.soak.problem(f"stale after {asked - began:.1f} s: {session}, {len(wrong)} items")
                return
            time.sleep(0.2)

    def search(self) -> None:
        """A search."""
        self.expect(self.send("GET", f"{ITEMS}search/?q={self.chance.choice(WORDS)}&limit=5"), 200)

    def list(self) -> None:
        """The newest items: those of this client only."""
        response = self.send("GET", f"{ITEMS}?limit=50")
        if self.expect(response, 200) and response is not None:
            foreign = [row for row in response.json()["results"] if row["user_id"] != f"user-{self.number}"]
            if foreign:
                self.soak.problem("items of another user in a list")


class Soak:
    """Starts everything, disturbs it, and compares."""

    def __init__(self, seconds: float, clients: int, seed: int, every: float = 8.0, niceness: int = 0) -> None:
        self.seconds, self.clients, self.seed, self.every, self.niceness = seconds, clients, seed, every, niceness
        self.outcome = Outcome()
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.chance = random.Random(seed)  # noqa: S311
        self.disturbed: deque[tuple[float, float]] = deque(maxlen=50)
        self.stopped: deque[tuple[float, float]] = deque(maxlen=50)
        self.url = ""
        self.firestore: Proxy | None = None

    def problem(self, text: str) -> None:
        """Note what must not happen."""
        with self.lock:
            self.outcome.problems.append(text)

    def note_error(self, status: int, code: str, path: str) -> None:
        """A 5xx is explained by its code, while something fails or shortly after."""
        now = time.monotonic()
        recent = any(began <= now and now - ended < 30 for began, ended in list(self.disturbed))
        if code not in EXPLAINED or not recent:
            self.problem(f"{status} {code} {path}")

    def run(self) -> Outcome:
        """Everything."""
        emulator = os.environ.get("FIRESTORE_EMULATOR_HOST", "")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            redis = stack.enter_context(RedisServer())
            proxy = stack.enter_context(Proxy(redis.port))
            firestore = stack.enter_context(Proxy(int(emulator.rpartition(":")[2]))) if emulator else None
            variables = variables_of(folder, proxy.port, emulator)
            tokens = prepare(folder, self.clients, variables)
            if firestore:
                self.outcome.engine = "the emulator, staging's settings"
            served = variables | ({"FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{firestore.port}"} if firestore else {})
            with live.service(folder, **served) as service:
                take_precedence(service.process.pid, self.niceness)
                self.url = service.url
                self.service, self.folder, self.redis, self.proxy = service, folder, redis, proxy
                self.firestore = firestore
                clients = [Client(self, number, token) for number, token in enumerate(tokens)]
                self.disturb_during(clients)
                self.compare(clients, stored_rows(folder, variables))
        return self.outcome

    def disturb_during(self, clients: list[Client]) -> None:
        """Let the clients act while faults happen."""
        threads = [threading.Thread(target=client.run) for client in clients]
        threads += [threading.Thread(target=self.watch_memory)]
        with probing(self.url, self.folder, self.niceness):
            for thread in threads:
                thread.start()
            end = time.monotonic() + self.seconds
            while time.monotonic() < end - 15:
                time.sleep(self.chance.uniform(0.5, 1.5) * self.every)
                self.disturb()
            time.sleep(max(0.0, end - time.monotonic()))
            self.ended.set()
            for thread in threads:
                thread.join()
        self.read_probes()
        _, second, _, last = self.outcome.summary()["MiB of the workers, most in each quarter"]
        if self.seconds >= LONG_SECONDS and last > second * MOST_GROWTH:
            self.problem(f"memory grew from {second} to {last} MiB")

    def workers(self) -> list[psutil.Process]:
        """The living workers."""
        return psutil.Process(self.service.process.pid).children()

    def disturb(self) -> None:
        """One fault of a few seconds."""
        faults: dict[str, Callable[[float], None]] = {
            "a worker is killed": self.kill_worker,
            "a worker is stopped": self.stop_worker,
            "Redis is stopped": self.stop_redis,
            "Redis is killed": self.kill_redis,
            "Redis is restored": self.restore_redis,
            "Redis is cut off": self.cut_redis,
            "Redis swallows data": self.swallow_redis,
        }
        if self.firestore:
            faults |= {"Firestore is cut off": self.cut_firestore, "Firestore swallows data": self.swallow_firestore}
        else:
            faults |= {"SQLite is locked": self.lock_sqlite}
        name = self.chance.choice(list(faults))
        self.outcome.faults[name] += 1
        began = time.monotonic()
        self.disturbed.append((began, began + 60))
        faults[name](self.chance.uniform(1, 4))
        self.disturbed[-1] = (began, time.monotonic())

    def kill_worker(self, seconds: float) -> None:
        """SIGKILL; gunicorn starts another."""
        workers = self.workers()
        if len(workers) > 1:
            self.chance.choice(workers).kill()
            time.sleep(seconds)

    def stop_worker(self, seconds: float) -> None:
        """SIGSTOP for a while."""
        worker = self.chance.choice(self.workers())
        began = time.time()
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.suspend()
            time.sleep(seconds)
            worker.resume()
        self.stopped.append((began, time.time()))

    def stop_redis(self, seconds: float) -> None:
        """SIGSTOP for a while."""
        self.redis.pause()
        time.sleep(seconds)
        self.redis.resume()

    def kill_redis(self, seconds: float) -> None:
        """SIGKILL; empty after the start."""
        self.redis.kill()
        time.sleep(seconds)
        (self.redis.folder / "dump.rdb").unlink(missing_ok=True)
        self.redis.start()

    def restore_redis(self, seconds: float) -> None:
        """Killed, and started with the data of some seconds ago."""
        with self.redis.client() as client:
            client.save()
        time.sleep(seconds)
        self.redis.kill()
        self.redis.start()

    def cut_redis(self, seconds: float) -> None:
        """Connections are closed and refused."""
        cut(self.proxy, seconds)

    def swallow_redis(self, seconds: float) -> None:
        """Connections stand, and nothing arrives."""
        swallow(self.proxy, seconds)

    def cut_firestore(self, seconds: float) -> None:
        """As for Redis."""
        if self.firestore:
            cut(self.firestore, seconds)

    def swallow_firestore(self, seconds: float) -> None:
        """As for Redis."""
        if self.firestore:
            swallow(self.firestore, seconds)

    def lock_sqlite(self, seconds: float) -> None:
        """Another process writes for long."""
        connection = sqlite3.connect(self.folder / "memory.sqlite3", timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def watch_memory(self) -> None:
        """The largest worker, every five seconds."""
        while not self.ended.wait(5):
            with contextlib.suppress(psutil.Error, ValueError):
                largest = max(worker.memory_info().rss for worker in self.workers())
                self.outcome.memory.append((time.monotonic(), largest))

    def read_probes(self) -> None:
        """Collect the latencies of the other process."""
        for line in (self.folder / "probes.jsonl").read_text().splitlines():
            path, at, seconds, status = json.loads(line)
            stopped = any(began - 1 <= at <= ended for began, ended in self.stopped)
            if path != "/api/health/live":
                self.outcome.health.append(seconds)
            elif status == 200 and (seconds <= AT_ONCE or not stopped):
                self.outcome.live.append(seconds)
            elif status == 200:
                self.outcome.live_of_stopped += 1
            else:
                self.outcome.live_lost += 1
        slow = [seconds for seconds in self.outcome.live if seconds > AT_ONCE]
        if slow:
            self.problem(f"live took more than {AT_ONCE} s {len(slow)} times, {max(slow):.2f} s at most")

    def compare(self, clients: list[Client], rows: Sequence[Sequence[str]]) -> None:
        """What is stored with what was acknowledged."""
        self.outcome.items = len(rows)
        stored = {pk: text for pk, _, text in rows}
        doubled = [text for text, count in Counter(text for _, _, text in rows).items() if count > 1]
        for client in clients:
            acknowledged = {pk: text for items in client.known.values() for pk, text in items.items()}
            lost = [pk for pk, text in acknowledged.items() if stored.get(pk) != text]
            mine = {pk for pk, user, _ in rows if user == f"user-{client.number}"}
            extra = [pk for pk in mine - acknowledged.keys() if stored[pk] not in client.unanswered]
            if lost or extra:
                self.problem(f"user-{client.number}: {len(lost)} lost, {len(extra)} stored without an answer")
        if doubled:
            self.problem(f"doubled: {doubled[:5]}")


def cut(proxy: Proxy, seconds: float) -> None:
    """Connections are closed and refused for a while."""
    proxy.cut()
    time.sleep(seconds)
    proxy.heal()


def swallow(proxy: Proxy, seconds: float) -> None:
    """Connections stand for a while, and nothing arrives."""
    proxy.blackhole()
    time.sleep(seconds)
    proxy.heal()


def take_precedence(pid: int, niceness: int) -> None:
    """Change the niceness of a process and its children, and of those that they start."""
    if niceness:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            for thread in one.threads():
                os.setpriority(os.PRIO_PROCESS, thread.id, niceness)


def variables_of(folder: Path, redis: int, emulator: str) -> dict[str, str]:
    """The service's variables: on SQLite, or on an emulator."""
    variables = live.deployed(folder) | {
        "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "CACHE_TTL": str(CACHE_TTL),
        "WEB_CONCURRENCY": "2",
        "WEB_THREADS": "4",
        "LOG_LEVEL": "ERROR",
        "THROTTLE_USER": "100000/s",
    }
    if emulator:
        project = f"soak-{uuid.uuid4().hex[:12]}"
        variables |= {"APP_ENV": "staging", "MEMORY_DATABASE_URL": "", "GCP_PROJECT_ID": project}
        variables |= {"FIRESTORE_EMULATOR_HOST": emulator}
    return variables


def prepare(folder: Path, clients: int, variables: dict[str, str]) -> list[str]:
    """Databases, and a token for each client."""
    live.make_databases(folder)
    if "FIRESTORE_EMULATOR_HOST" in variables:
        live.manage("migrate", "--verbosity=0", "--database=memory", **variables)
    create = f"[User.objects.create_user(f'user-{{n}}') for n in range({clients})]"
    code = f"from django.contrib.auth.models import User; {create}"
    live.manage("shell", "-v0", "-c", code, **variables)
    return [live.manage("memory_tokens", "create", f"user-{n}", **variables).strip() for n in range(clients)]


STORED = """
import json
from memory.models import MemoryItem
print("rows", json.dumps(list(MemoryItem.all_objects.values_list("id", "user_id", "text_content"))))
"""


def stored_rows(folder: Path, variables: dict[str, str]) -> list[list[str]]:
    """Id, user and text of all stored items, read by another process."""
    lines = live.manage("shell", "-v0", "-c", STORED, **variables).splitlines()
    rows: list[list[str]] = json.loads(next(line for line in lines if line.startswith("rows ")).removeprefix("rows "))
    return rows


PROBE = """
import http.client, json, sys, threading, time
port, file = int(sys.argv[1]), open(sys.argv[2], "a")
def probe(path):
    began, at = time.monotonic(), time.time()
    try:
        connection = http.client.HTTPConnection("localhost", port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
    except OSError as error:
        status = type(error).__name__
    except http.client.HTTPException as error:
        status = type(error).__name__
    file.write(json.dumps([path, at, time.monotonic() - began, status]) + "\\n")
    file.flush()
def repeat(path, seconds):
    while True:
        probe(path)
        time.sleep(seconds)
for path, seconds in (("/api/health", 2), ("/api/health/ready", 2)):
    threading.Thread(target=repeat, args=(path, seconds), daemon=True).start()
repeat("/api/health/live", 0.25)
"""


@contextmanager
def probing(url: str, folder: Path, niceness: int = 0) -> Iterator[None]:
    """Another process probes during the block."""
    port = url.rpartition(":")[2]
    process = subprocess.Popen([sys.executable, "-c", PROBE, port, str(folder / "probes.jsonl")])
    take_precedence(process.pid, niceness)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def main() -> int:
    """Run, and print the figures; 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--niceness", type=int, default=0, help="of the service and of the probes")
    parser.add_argument("--log", type=Path, help="copy the service's log there")
    options = parser.parse_args()
    soak = Soak(options.seconds, options.clients, options.seed, niceness=options.niceness)
    if options.log:
        original = soak.compare

        def compare(clients: list[Client], rows: Sequence[Sequence[str]]) -> None:
            shutil.copy(soak.service.log_file, options.log)
            original(clients, rows)

        soak.compare = compare  # type: ignore[method-assign]
    outcome = soak.run()
    sys.stdout.write(json.dumps(outcome.summary(), indent=2) + "\n\n" + outcome.table(options.seconds) + "\n")
    return int(bool(outcome.problems))


if __name__ == "__main__":
    sys.exit(main())
