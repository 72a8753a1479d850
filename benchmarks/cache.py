"""The savings and costs of the conversation cache: `python -m benchmarks.cache`.

On Firestore (the emulator of `FIRESTORE_EMULATOR_HOST`, or one of its own) and with a Redis of its own. First histories
read and items written, with the cache and without, in turns; then `GET /api/sessions/{id}/history/` over HTTP from two
services that differ in nothing else, under 50 clients. Prints the rows of docs/performance.md and ends with 1 where a
bar is missed. `--embedded` measures the first on SQLite, where no bar is set.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from memory.testing.emulator import emulator
from memory.testing.redis import RedisServer

from . import history_served
from .history_served import Load

READS_FASTER_BY = 8.0
WRITES_SLOWER_BY = 0.15
BLOCK = 5  # measurements per kind before the next, so that all see the same load
COLUMNS = "| with the cache | without | |\n| --- | --- | --- | --- |"

Taken = Mapping[str, Sequence[float]]


def percentile(seconds: Sequence[float], percent: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[min(int(len(seconds) * percent / 100), len(seconds) - 1)] * 1000


def measure(rounds: int) -> Taken:
    """Seconds of reads and writes: through the cache, without it, and without it and the session's row."""
    from memory import history
    from memory.models import MemoryItem
    from memory.querysets import UserSessionQuerySet

    def write(session: str) -> None:
        MemoryItem(user_id="bench", session_id=session, item_type="message", text_content="x" * 500).save()

    def read(session: str) -> None:
        assert len(history.recent("bench", session, 20)) == 20

    kinds: Mapping[str, tuple[Callable[[], None], Callable[[], object]]] = {
        "read with": (lambda: read("with"), nullcontext),
        "read without": (lambda: read("without"), uncached),
        "write with": (lambda: write("with"), nullcontext),
        "write without": (lambda: write("without"), uncached),
        "write bare": (lambda: write("bare"), lambda: patch.object(UserSessionQuerySet, "touch", lambda *_: None)),
    }
    for session in ("with", "without", "bare"):
        for _ in range(200):
            write(session)
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds // BLOCK):
        for name, (action, circumstances) in kinds.items():
            with uncached() if name == "write bare" else nullcontext(), circumstances():  # type: ignore[attr-defined]
                action()  # the cost of switching is not measured
                for _ in range(BLOCK):
                    begun = time.perf_counter()
                    action()
                    taken[name].append(time.perf_counter() - begun)
    return taken


@contextmanager
def uncached() -> Iterator[None]:
    """Disable the conversation cache."""
    from django.conf import settings
    from django.test import override_settings

    with override_settings(MEMORY={**settings.MEMORY, "CACHE": None}):
        yield


def ratio(taken: Taken, kind: str, other: str) -> float:
    """The ratio of the medians."""
    return percentile(taken[kind], 50) / percentile(taken[other], 50)


def cache_rows(taken: Taken) -> list[str]:
    """The table of reads and writes."""

    def cell(kind: str) -> str:
        return f"{percentile(taken[kind], 50):.2f} ms (p99 {percentile(taken[kind], 99):.1f})"

    def difference(other: str) -> str:
        share = ratio(taken, "write with", other) - 1
        return f"{abs(share) * 100:.0f} % {'more' if share > 0 else 'less'} time"

    faster = f"{ratio(taken, 'read without', 'read with'):.1f} times as fast"
    added = percentile(taken["write with"], 50) - percentile(taken["write bare"], 50)
    return [
        f"| {COLUMNS}",
        f"| read the last 20 | {cell('read with')} | {cell('read without')} | {faster} |",
        f"| write an item | {cell('write with')} | {cell('write without')} | {difference('write without')} |",
        f"| the same, the session's row left out | {cell('write with')} | {cell('write bare')} | {added:.2f} ms more |",
    ]


def served_rows(loads: Mapping[str, Load]) -> list[str]:
    """The table of requests."""
    cached, other = loads["with"], loads["without"]

    def row(name: str, unit: str, figure: Callable[[Load], float], better: Callable[[float, float], float]) -> str:
        one, two = figure(cached), figure(other)
        return f"| {name} | {one:.0f}{unit} | {two:.0f}{unit} | {better(one, two):.1f} times as {WORDS[name]} |"

    return [
        f"| `GET /api/sessions/{{id}}/history/`, {history_served.CLIENTS} clients {COLUMNS}",
        row("p50", " ms", lambda load: percentile(load.latencies, 50), lambda one, two: two / one),
        row("p99", " ms", lambda load: percentile(load.latencies, 99), lambda one, two: two / one),
        row("requests/s", "", lambda load: len(load.latencies) / load.seconds, lambda one, two: one / two),
    ]


WORDS: Mapping[str, str] = {"p50": "fast", "p99": "fast", "requests/s": "many"}


def missed_bars(taken: Taken) -> list[str]:
    """Missed targets of docs/performance.md."""
    faster, slower = ratio(taken, "read without", "read with"), ratio(taken, "write with", "write without") - 1
    return [
        *([f"reads are {faster:.1f} times as fast, {READS_FASTER_BY} wanted"] if faster < READS_FASTER_BY else []),
        *([f"writes take {slower:.0%} more, {WRITES_SLOWER_BY:.0%} allowed"] if slower > WRITES_SLOWER_BY else []),
    ]


def main() -> int:
    """Print the tables; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="Measurements of each kind.")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="Duration of requests per service and turn; 0 to skip."
    )
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--embedded", action="store_true", help="Use SQLite.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cache-") as folder, RedisServer() as server:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "settings", "REDIS_URL": server.url, "APP_ENV": "test"}
        if options.embedded:
            os.environ["MEMORY_DATABASE_URL"] = f"sqlite:///{Path(folder) / 'memory.sqlite3'}"
        else:
            os.environ["FIRESTORE_EMULATOR_HOST"] = emulator(uuid.uuid4().hex)
            os.environ |= {"MEMORY_DATABASE_URL": "", "GCP_PROJECT_ID": f"benchmark-{uuid.uuid4().hex[:8]}"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", database="memory", verbosity=0)
        taken = measure(options.rounds)
        print("\n".join(cache_rows(taken)))
        if options.seconds and not options.embedded:
            server.client().flushall()
            loads = history_served.measure(folder, server.url, options.seconds, options.turns)
            print("\n".join(["", *served_rows(loads)]))
    missed = [] if options.embedded else missed_bars(taken)
    for each in missed:
        print(f"MISSED: {each}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
