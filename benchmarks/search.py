"""The cost of search: `python -m benchmarks.search [--items 10000 100000] [--firestore 1000 10000]`.

On a new SQLite file: how fast one user's memory is written with the configured embedder, and how long a search of it
takes, also right after a write. On Firestore, where `FIRESTORE_EMULATOR_HOST` is set: documents read and calls of a
search, counted on the wire, for memories of growing size, with and without what the process knows. Times on an emulator
say nothing of Firestore's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2025, 1, 1, tzinfo=UTC)
USER, TURNS_IN_A_SESSION, AT_ONCE = "bench", 40, 1_000
DATA = Path(__file__).parents[1] / "tests" / "search" / "data" / "tuning.json"
SEARCHES, SEARCHES_AFTER_A_WRITE, SEARCHES_ON_FIRESTORE = 200, 50, 10
TAIL = 12  # items that are not indexed, by default


def words_and_questions() -> tuple[list[str], list[str]]:
    """Words with their natural frequency, and questions, from the labelled conversations."""
    conversations = json.loads(DATA.read_text("utf-8"))["conversations"]
    spoken = " ".join(turn["text"] for one in conversations for turn in one["turns"]).split()
    return spoken, [one["question"] for each in conversations for one in each["questions"]]


def remember(count: int, words: Sequence[str], using: str, start: int = 0) -> float:
    """Write `count` turns of 5 to 30 words; return the seconds."""
    from memory.models import MemoryItem

    chance = random.Random(start)
    began = time.perf_counter()
    for first in range(start, start + count, AT_ONCE):
        MemoryItem.objects.using(using).bulk_create(
            MemoryItem(
                user_id=USER,
                session_id=f"session {number // TURNS_IN_A_SESSION}",
                item_type="message",
                timestamp=START + timedelta(minutes=number),
                text_content=" ".join(chance.choices(words, k=chance.randint(5, 30))),
                metadata={"speaker": ("Ada", "Bo")[number % 2]},
            )
            for number in range(first, min(first + AT_ONCE, start + count))
        )
    return time.perf_counter() - began


def index(using: str) -> None:
    """Index the memory, as searches do in the background, which the settings of tests turn off."""
    from django.db.models import F

    from memory.models import SearchIndex
    from memory.search.packing import pack

    pack(USER, using)
    SearchIndex.objects.using(using).update(since=F("newest"))  # as if the margin for late commits had passed


def milliseconds(action: Callable[[str], object], questions: Sequence[str]) -> tuple[list[float], list[float]]:
    """The sorted durations, as wall and as CPU time. Each question is asked once: the vectors of others are known."""
    wall, cpu = [], []
    for question in questions:
        began = time.perf_counter(), time.process_time()
        action(question)
        wall.append((time.perf_counter() - began[0]) * 1000)
        cpu.append((time.process_time() - began[1]) * 1000)
    return sorted(wall), sorted(cpu)


def percentiles(taken: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile."""
    return {"p50_ms": round(taken[len(taken) // 2], 1), "p95_ms": round(taken[int(len(taken) * 0.95)], 1)}


def on_sqlite(items: int, words: Sequence[str], questions: Sequence[str]) -> dict[str, Any]:
    """Ingest and search on SQLite."""
    from memory.models import MemoryItem

    cpu = time.process_time()
    seconds = remember(items, words, "memory")
    cpu = time.process_time() - cpu
    index("memory")

    def search(question: str) -> object:
        return MemoryItem.objects.search(question, user_id=USER)

    def write_and_search(question: str) -> object:
        MemoryItem.objects.create(user_id=USER, session_id="live", item_type="message", text_content=question)
        return search(question)

    first, _ = milliseconds(search, questions[:1])
    wall, processor = milliseconds(search, questions[1 : 1 + SEARCHES])
    after, _ = milliseconds(write_and_search, questions[1 + SEARCHES :][:SEARCHES_AFTER_A_WRITE])
    return {
        "items": items,
        "ingest_items_per_second": round(items / seconds),
        "ingest_items_per_cpu_second": round(items / cpu),
        "first": percentiles(first),
        "search": percentiles(wall),
        "search_cpu": percentiles(processor),
        "after_a_write": percentiles(after),
    }


@contextmanager
def metered() -> Iterator[Any]:
    """The alias `metered` of an empty emulator database behind a counting proxy."""
    from tests import databases
    from tests.faults.meter import Meter

    project = f"b-{uuid.uuid4().hex[:12]}"
    with (
        Meter(os.environ["FIRESTORE_EMULATOR_HOST"]) as meter,
        databases.firestore("metered", meter.address, project, timeout=60),
    ):
        yield meter


def on_firestore(sizes: Sequence[int], words: Sequence[str], questions: Sequence[str]) -> list[dict[str, Any]]:
    """The most documents and calls of a search, by memory size: without a cache, and later. The tail is full."""
    from memory.conf import memory_settings
    from memory.search.segment_cache import cache

    found, there = [], 0
    with metered() as meter:
        for size in sizes:
            remember(size - there, words, "metered", start=there)
            index("metered")
            tail = memory_settings.index_after or TAIL
            remember(tail, words, "metered", start=size)
            there = size + tail
            cold, warm = [], []
            for question in questions[:SEARCHES_ON_FIRESTORE]:
                cache.clear()
                cold.append(_bill(meter, question))
                warm.append(_bill(meter, question))
            found.append({"items": size, "tail": tail, "cold": _most(cold), "warm": _most(warm)})
    return found


def _bill(meter: Any, question: str) -> tuple[int, int]:
    """Documents read and calls of a search."""
    from memory.models import MemoryItem

    meter.bill.clear()
    found = MemoryItem.objects.using("metered").search(question, user_id=USER)
    assert len(found) == 10, question
    return meter.bill.read, sum(meter.bill.calls.values())


def _most(bills: Sequence[tuple[int, int]]) -> dict[str, int]:
    return {"documents": max(read for read, _ in bills), "calls": max(calls for _, calls in bills)}


def main() -> None:
    """Print JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000], help="items of one user, on SQLite")
    parser.add_argument("--firestore", type=int, nargs="*", default=[1_000, 10_000], help="as above, on Firestore")
    options = parser.parse_args()
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST", "")
    words, questions = words_and_questions()
    random.Random(0).shuffle(questions)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{folder}/memory.sqlite3",
        )
        import django
        from django.core.management import call_command

        django.setup()
        for items in options.items:
            call_command("migrate", database="memory", verbosity=0)
            call_command("flush", database="memory", interactive=False, verbosity=0)
            print(json.dumps(on_sqlite(items, words, questions)), flush=True)
        for result in on_firestore(options.firestore, words, questions) if emulator else ():
            print(json.dumps(result), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
