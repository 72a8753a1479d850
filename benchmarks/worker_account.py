"""What a worker's memory consists of, for `benchmarks.worker_memory --account FILE`.

A thread of the worker writes a line at each interval, in MiB: resident memory; used and free memory of malloc's heaps,
and its blocks of their own (models, large arrays); SQLite's memory; indexes of search by their own count; and the
number of Python's small objects. Before some lines, which end with `emptied`, it empties the caches of search: what has
grown since the last such line is in no cache.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 1024 * 1024
EVERY: Final = 15.0
"""Seconds between lines."""
EMPTY_EVERY: Final = 14
"""Lines between those before which caches are emptied."""
FIELDS: Final = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class MallInfo(ctypes.Structure):
    """https://man7.org/linux/man-pages/man3/mallinfo.3.html"""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def line() -> str:
    """The account."""
    import _sqlite3  # a module of C, whose library has the counter

    from memory.search.segment_cache import cache

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallInfo
    info = mallinfo2()
    used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    used.restype = ctypes.c_int64
    rollup = Path("/proc/self/smaps_rollup").read_text().split()
    parts = {
        "resident": int(rollup[rollup.index("Rss:") + 1]) / 1024,
        "heap used": info.uordblks / MEBIBYTE,
        "heap free": info.fordblks / MEBIBYTE,
        "own blocks": info.hblkhd / MEBIBYTE,
        "sqlite": used() / MEBIBYTE,
        "indexes": cache.nbytes / MEBIBYTE,
    }
    objects = f"objects {sys.getallocatedblocks():,}"
    return ", ".join([*(f"{name} {size:.1f}" for name, size in parts.items()), objects])


def empty() -> None:
    """Empty the caches of search."""
    from memory.search import lexicon, segment_cache, terms

    segment_cache.cache.clear()
    terms._terms_of.cache_clear()
    lexicon._lexicons.clear()
    gc.collect()


def _write(path: Path) -> None:
    began, number = time.monotonic(), 0
    while True:
        emptied = number % EMPTY_EVERY == EMPTY_EVERY - 1
        if emptied:
            empty()
        with path.open("a") as file:
            file.write(f"{time.monotonic() - began:.0f} s: {line()}{', emptied' if emptied else ''}\n")
        number += 1
        time.sleep(EVERY)


class AccountMiddleware:
    """Starts the thread at the worker's first request: after the fork."""

    def __init__(self, get_response: Callable[[object], object]) -> None:
        self.get_response, self.lock, self.started = get_response, threading.Lock(), False

    def __call__(self, request: object) -> object:
        with self.lock:
            if not self.started:
                self.started = True
                path = Path(os.environ["WORKER_ACCOUNT"])
                threading.Thread(target=_write, args=(path,), name="account", daemon=True).start()
        return self.get_response(request)
