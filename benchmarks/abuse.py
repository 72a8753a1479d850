"""Hostile bodies and queries against a running service: what they cost, and whether it survives them.

    python -m benchmarks.abuse

Starts the service with production's settings, on SQLite unless `FIRESTORE_EMULATOR_HOST` is set (then in staging's
settings on the emulator), with one worker of gunicorn. Each request is sent by a user with a token, one at a time.
Fails unless every response is a 4xx, the worker is the same afterwards, and its CPU seconds and the growth of its
memory are at most `MOST_CPU_SECONDS` and `MOST_GROWTH` in all.

Then come searches: valid ones, of the hostile texts of `benchmarks.bounds`, which another process has stored. Each must
be a 200, and take at most `MOST_SEARCH_SECONDS` of CPU and `MOST_GROWTH` of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import requests

from benchmarks import bounds
from tests import live

MIB = 1024 * 1024
MOST_CPU_SECONDS = 2.0
MOST_SEARCH_SECONDS = 1.0
MOST_GROWTH = 200 * MIB
TICKS = os.sysconf("SC_CLK_TCK")
ITEMS, BULK = "/api/memory-items/", "/api/memory-items/bulk/"
SEARCH = "/api/memory-items/search/"
COLLECTIONS = (ITEMS, BULK, "/api/agent-data/", "/api/sessions/", "/api/memory-items/check-duplicate/", SEARCH)


@dataclass(frozen=True)
class Attack:
    """One request: a body to POST, or None for a GET."""

    name: str
    path: str
    body: bytes | None = None


@dataclass(frozen=True)
class Cost:
    """What a request cost the worker, in CPU seconds and bytes; `size` is of the response."""

    status: int
    cpu: float
    growth: int
    size: int
    peak: int = 0


def repeated(before: bytes, unit: bytes, after: bytes, size: int) -> bytes:
    """A body of about `size` bytes."""
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def keys(size: int) -> bytes:
    """An object of distinct unknown keys."""
    return b"{" + b",".join(b'"k%07d":0' % number for number in range(size // 13)) + b"}"


def bodies(size: int) -> Iterator[tuple[str, bytes]]:
    """Hostile bodies of about `size` bytes."""
    yield "unknown keys", keys(size)
    yield "empty lists", repeated(b"[", b"[],", b"[]]", size)
    yield "empty objects in metadata", repeated(b'{"metadata":{"a":[', b"{},", b"{}]}}", size)
    yield "numbers in metadata", repeated(b'{"item_type":"m","metadata":{"a":[', b"0,", b"0]}}", size)
    yield "one-letter texts", repeated(b'{"metadata":{"a":[', b'"a",', b'"a"]}}', size)
    yield "depth", repeated(b"", b"[", b"", size)
    yield "quotes", repeated(b"", b'"', b"", size)
    yield "escaped quotes", repeated(b'{"a":"', rb"\"", b'"}', size)
    yield "items that are empty", repeated(b'{"items":[', b"{},", b"{}]}", size)
    yield "digits", repeated(b'{"metadata":{"a":', b"9", b"}}", size)


def below_the_limits() -> Iterator[tuple[str, bytes]]:
    """Bodies of a bulk that are parsed, and refused by validation."""
    yield "a million numbers", repeated(b'{"items":[{"item_type":"m","metadata":{"a":[', b"0,", b"0]}}]}", 2_100_000)
    yield "90,000 texts", repeated(b'{"items":[{"item_type":"m","metadata":{"a":[', b'"a",', b'"a"]},"b":1}]}', 360_000)
    yield "90,000 lists", repeated(b'{"items":[{"item_type":"m","metadata":{"a":[', b"[],", b'[]]},"b":1}]}', 270_000)
    yield "500 rows of 100 unknown keys", b'{"items":[' + b",".join([keys(1300)] * 500) + b"]}"
    yield "500 rows of long texts", repeated(b'{"items":[', b'"' + b"x" * 30_000 + b'",', b'""]}', 15_000_000)


QUERIES = {
    "an endless query": f"{ITEMS}search/?q={'a+' * 1900}&limit=1000",
    "many parameters": f"{ITEMS}?" + "&".join(f"p{number}=1" for number in range(600)),
    "a parameter of nested lists": f"{ITEMS}?metadata_key=a&metadata_value={'[' * 3900}",
    "a number of many digits": f"{ITEMS}?metadata_key=a&metadata_value={'9' * 3900}",
    "a long key": f"{ITEMS}?metadata_key={'k' * 3900}",
    "a limit beyond the largest": f"{ITEMS}?limit=999999999",
    "a cursor of noise": f"{ITEMS}?cursor={'A' * 3900}",
    "a cursor of nested lists": f"{ITEMS}?cursor={'W1tb' * 900}",
    "a long id": f"{ITEMS}{'i' * 3900}/",
    "an id of percent signs": f"{ITEMS}{quote('%' * 1200)}/",
    "a long path": f"/api/{'a/' * 1900}",
    "a search for more than a search returns": f"{SEARCH}?q=apple&limit=101",
    "a search with a score of no number": f"{SEARCH}?q=apple&min_score=nan",
    "a search as of no time": f"{SEARCH}?q=apple&as_of={'9' * 3000}",
}
QUESTIONS = {
    "eleven questions": {"questions": ["apple"] * 11},
    "a question of 10,001 characters": {"questions": ["a" * 10_001]},
    "no question": {"questions": []},
    "questions of lists": {"questions": [["apple"]] * 10},
    "a question of a lone surrogate": {"questions": ["\ud800"]},
}
SHARE = 5
"""Of the texts of `benchmarks.bounds`, one of so many is stored."""
STATES = ("new", "indexed")


def attacks() -> list[Attack]:
    """All requests."""
    sent = [
        Attack(f"{name}, {size // MIB} MiB, {path}", path, body)
        for size in (3 * MIB, 15 * MIB)
        for path in (ITEMS, BULK)
        for name, body in bodies(size)
    ]
    sent += [Attack(f"unknown keys, 8 MiB, {path}", path, keys(8 * MIB - 100)) for path in COLLECTIONS]
    sent += [Attack(f"90,000 unknown keys, {path}", path, keys(90_000 * 13)) for path in COLLECTIONS]
    sent += [Attack(f"{name}, below the limits", BULK, body) for name, body in below_the_limits()]
    sent += [Attack(name, SEARCH, json.dumps(body).encode()) for name, body in QUESTIONS.items()]
    return sent + [Attack(name, path) for name, path in QUERIES.items()]


def fill() -> None:
    """Store the texts of `benchmarks.bounds`, each kind for a user of its own, with and without an index."""
    from memory.models import MemoryItem
    from memory.search.packing import pack

    using = MemoryItem.objects.db
    for kind, (count, text) in bounds.TEXTS.items():
        metadata = bounds.METADATA.get(kind, {})
        for state in STATES:
            values = {"user_id": f"{kind}, {state}", "session_id": "s", "item_type": "message", "metadata": metadata}
            for _ in range(0, count // SHARE, bounds.BATCH):
                texts = [text() for _ in range(bounds.BATCH)]
                MemoryItem.objects.bulk_create(MemoryItem(**values, text_content=one) for one in texts)
        pack(f"{kind}, indexed", using)


def searches() -> list[Attack]:
    """Valid searches, each the first one of its memory, but for those of the questions."""
    long = bounds.words(1_250)[:10_000]
    found = [
        Attack(
            f"search, {kind}, {state}, limit 100",
            f"{SEARCH}?q={quote(bounds.ASKED)}&limit=100&user_id={quote(f'{kind}, {state}')}",
        )
        for kind in bounds.TEXTS
        for state in STATES
    ]
    of = {"user_id": "distinct words, indexed", "limit": 100}
    questions = {
        "a question of 10,000 characters": {"questions": [long]},
        "ten questions of 10,000 characters": {"questions": [bounds.words(1_250)[:10_000] for _ in range(10)]},
        "a question of 10,000 letters": {"questions": ["a" * 10_000]},
        "a question of 5,000 Chinese letters": {"questions": ["".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))]},
        "every option": {
            "questions": [bounds.ASKED],
            "explain": True,
            "hidden": True,
            "importance": 1,
            "recency": 1,
            "metadata_key": "numbers",
        },
    }
    return found + [
        Attack(f"search, {name}", SEARCH, json.dumps({**of, **body}).encode()) for name, body in questions.items()
    ]


@dataclass(frozen=True)
class Worker:
    """gunicorn's only worker, by its process."""

    pid: int

    @classmethod
    def of(cls, service: live.Service) -> Worker:
        """The worker of a service."""
        (child,) = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        return cls(int(child))

    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, name: str = "VmRSS") -> int:
        """Resident bytes; `VmHWM` for the peak."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024

    def forget_peak(self) -> None:
        """`VmHWM` counts from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def settle(self) -> None:
        """Wait until it has no more work: an index follows some searches."""
        before = -1.0
        while (now := self.cpu()) > before:
            before = now
            time.sleep(1)


def cost(service: live.Service, worker: Worker, attack: Attack, token: str) -> Cost:
    """Send one request and measure it."""
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    worker.forget_peak()
    cpu, memory = worker.cpu(), worker.memory()
    response = requests.request(
        "GET" if attack.body is None else "POST",
        service.url + attack.path,
        data=attack.body,
        headers=headers,
        timeout=120,
    )
    cpu, peak = worker.cpu() - cpu, worker.memory("VmHWM") - memory
    return Cost(response.status_code, cpu, worker.memory() - memory, len(response.content), peak)


def main(arguments: list[str] | None = None) -> int:
    """Run all attacks; the exit code is 1 if a limit is broken."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--all", action="store_true", help="print each request, not only the most expensive ones")
    chosen = options.parse_args(arguments)
    with TemporaryDirectory() as name:
        folder = Path(name)
        variables = variables_of(folder)
        live.migrate(**variables)
        live.manage(
            "createsuperuser",
            "--noinput",
            "--username=ada",
            "--email=ada@example.org",
            **variables,
            DJANGO_SUPERUSER_PASSWORD=live.PASSWORD,
        )
        token = live.manage("memory_tokens", "create", "ada", **variables).strip()
        changed = {name: value for name, value in variables.items() if live.deployed(folder).get(name) != value}
        with live.service(folder, **changed) as service:
            requests.get(service.url + ITEMS, headers={"Authorization": f"Token {token}"}, timeout=60)
            worker = Worker.of(service)
            before, began, cpu = worker.memory(), time.monotonic(), worker.cpu()
            costs = {attack.name: cost(service, worker, attack, token) for attack in attacks()}
            growth = worker.memory() - before, max(each.peak for each in costs.values())
            seconds = time.monotonic() - began
            failed = report(costs, worker, growth, worker.cpu() - cpu, seconds, chosen.all, service)
            live.manage("shell", "-v0", "-c", "from benchmarks.abuse import fill; fill()", **variables)
            return failed | report_searches(settled_costs(service, worker, token), worker, service)


def variables_of(folder: Path) -> dict[str, str]:
    """The service's variables: on SQLite, or on the emulator of `FIRESTORE_EMULATOR_HOST`."""
    variables = live.deployed(folder)
    if emulator := os.environ.get("FIRESTORE_EMULATOR_HOST"):
        del variables["MEMORY_DATABASE_URL"]
        variables |= {"APP_ENV": "staging", "FIRESTORE_EMULATOR_HOST": emulator, "MEMORY_DATABASE_URL": ""}
    return variables


def settled_costs(service: live.Service, worker: Worker, token: str) -> dict[str, Cost]:
    """The cost of each search until its response, without that of the index which follows."""
    costs = {}
    for search in searches():
        worker.settle()
        costs[search.name] = cost(service, worker, search, token)
    return costs


def report_searches(costs: dict[str, Cost], worker: Worker, service: live.Service) -> int:
    """Print the figures; 1 if a limit is broken."""
    for name, each in sorted(costs.items(), key=lambda found: -found[1].cpu):
        print(f"{each.status} {each.cpu:6.2f} CPU-s {each.peak / MIB:7.1f} MiB {each.size:7d} bytes  {name}")
    print(json.dumps({"searches": len(costs), "worker_alive": is_alive(service, worker)}, indent=2))
    within = all(
        each.status == 200 and each.cpu <= MOST_SEARCH_SECONDS and each.peak <= MOST_GROWTH for each in costs.values()
    )
    return int(not (within and is_alive(service, worker)))


def is_alive(service: live.Service, worker: Worker) -> bool:
    """Whether the worker is the same as before, and answers."""
    return Worker.of(service) == worker and service.request("/api/health/live").status_code == 200


def report(
    costs: dict[str, Cost],
    worker: Worker,
    grown: tuple[int, int],
    cpu: float,
    seconds: float,
    every: bool,
    service: live.Service,
) -> int:
    """Print the figures; 1 if a limit is broken. `grown` is the growth of memory at the end, and the most."""
    alive, (growth, peak) = is_alive(service, worker), grown
    ranked = sorted(costs.items(), key=lambda each: -each[1].cpu)
    for name, each in ranked if every else ranked[:10]:
        print(f"{each.status} {each.cpu:6.2f} CPU-s {each.growth / MIB:7.1f} MiB {each.size:7d} bytes  {name}")
    statuses = {status: sum(each.status == status for each in costs.values()) for status in (400, 404, 413)}
    others = sorted({each.status for each in costs.values()} - statuses.keys())
    summary = {
        "requests": len(costs),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 2),
        "most_cpu_seconds_of_one": ranked[0][1].cpu,
        "growth_mib": round(growth / MIB, 1),
        "peak_growth_mib": round(peak / MIB, 1),
        "largest_response": max(each.size for each in costs.values()),
        "statuses": statuses,
        "other_statuses": others,
        "worker_alive": alive,
    }
    print(json.dumps(summary, indent=2))
    clients_fault = all(400 <= each.status < 500 for each in costs.values())
    return int(not (alive and clients_fault and cpu <= MOST_CPU_SECONDS and max(growth, peak) <= MOST_GROWTH))


if __name__ == "__main__":
    sys.exit(main())
