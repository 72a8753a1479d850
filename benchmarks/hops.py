"""What it costs to await a call: the way to a thread and back alone, and reads and writes of SQLite with it.

    python -m benchmarks.hops [--rounds 9] [--folder DIRECTORY]

All sides run in turns, in one process and on one SQLite file. In a `--folder` in memory (`/dev/shm`) a write does not
wait for the disk, so the ratio of the awaited write is the largest. Figures are medians of the rounds for one call.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import api

CALLS = 100


def sides_of(loop: asyncio.AbstractEventLoop, manager: Any) -> Mapping[str, Callable[[], Any]]:
    """The sides; each runs `CALLS` calls."""
    from asgiref.sync import sync_to_async

    from memory.models import MemoryItem

    pool = ThreadPoolExecutor()
    values = {"user_id": "ada", "session_id": "s", "item_type": "m", "text_content": "What was said."}
    known = MemoryItem.objects.create(**values).pk

    def nothing() -> None:
        """The least that a thread can do."""

    def repeated(call: Callable[[], Any]) -> Callable[[], None]:
        return lambda: [call() for _ in range(CALLS)] and None

    def awaited(call: Callable[[], Awaitable[Any]]) -> Callable[[], None]:
        async def calls() -> None:
            for _ in range(CALLS):
                await call()

        return lambda: loop.run_until_complete(calls())

    return {
        "loop.run_in_executor(nothing)": awaited(lambda: loop.run_in_executor(pool, nothing)),
        "sync_to_async(nothing)": awaited(sync_to_async(nothing)),
        "the pool's run(nothing)": awaited(lambda: manager._threads.run(nothing)),
        "objects.get()": repeated(lambda: MemoryItem.objects.get(pk=known)),
        "objects.aget()": awaited(lambda: MemoryItem.objects.aget(pk=known)),
        "get_memory_item()": awaited(lambda: manager.get_memory_item(known)),
        "objects.create()": repeated(lambda: MemoryItem.objects.create(**values)),
        "objects.acreate()": awaited(lambda: MemoryItem.objects.acreate(**values)),
        "add_memory_item()": awaited(lambda: manager.add_memory_item(MemoryItem(**values))),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What it costs to await a call.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", help="where the SQLite file is; default: the folder of temporary files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        api.configure(folder)
        from memory.stores import FirestoreMemoryManager

        loop, manager = asyncio.new_event_loop(), FirestoreMemoryManager()
        manager.initialize()
        sides = sides_of(loop, manager)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for number in range(-1, given.rounds):
            for name, side in sides.items():
                clock, cpu = time.perf_counter(), time.process_time()
                side()
                if number >= 0:  # the first round warms up
                    spent[name].append((time.perf_counter() - clock, time.process_time() - cpu))
        manager.close()
        loop.close()
    for name, rounds in spent.items():
        clock, cpu = (statistics.median(column) / CALLS * 1e3 for column in zip(*rounds, strict=True))
        sys.stdout.write(f"{name:32} time {clock:6.2f} ms  CPU {cpu:6.2f} ms\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
