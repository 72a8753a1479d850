"""Ids that the engine gives to rows of models with an `AutoField`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

# The largest integer that JavaScript, and so every browser, can hold exactly.
MAX_AUTO_ID: Final = 2**53 - 1

_random = random.SystemRandom()


class Clock:
    """Ids that grow: microseconds since 1970, never the same twice in a process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """The next id."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


_clock = Clock()


def random_id() -> int:
    """A random positive id of at most 53 bits: no hot spot in Firestore, exact in JavaScript."""
    return _random.randint(1, MAX_AUTO_ID)


AUTO_IDS: Final[dict[str, Callable[[], int]]] = {"random": random_id, "time": _clock.next}
"""By OPTIONS["auto_ids"]. "time" keeps the order of insertion, at the price of a hot spot above some 500 inserts a
second."""
