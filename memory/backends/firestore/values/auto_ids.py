"""Ids of rows with an `AutoField`, and random tokens for the engine's own writes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from memory.backends import clock

# The largest integer that JavaScript, and so every browser, represents exactly.
MAX_AUTO_ID: Final = 2**53 - 1

_random = random.SystemRandom()


class Clock:
    """Increasing ids: microseconds since 1970, unique within a process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """The next id."""
        with self._lock:
            self._last = max(self._last + 1, int((time.time() + clock.shift()) * 1_000_000))
            return self._last


_clock = Clock()


def random_id() -> int:
    """A random positive id of at most 53 bits: no hotspot in Firestore, and exact in JavaScript."""
    return _random.randint(1, MAX_AUTO_ID)


AUTO_IDS: Final[dict[str, Callable[[], int]]] = {"random": random_id, "time": _clock.next}
"""By OPTIONS["auto_ids"]. "time" preserves the order of insertion, but creates a hotspot above some 500 inserts per
second."""

SEQUENCE: Final = "sequence"
"""OPTIONS["auto_ids"] for ids from 1 (`rpc/sequences.py`)."""

CHOICES: Final = (*AUTO_IDS, SEQUENCE)
"""The values of OPTIONS["auto_ids"]."""


def random_token() -> str:
    """A random text of 16 hexadecimal digits that identifies a write of the engine."""
    return f"{random.getrandbits(64):016x}"
