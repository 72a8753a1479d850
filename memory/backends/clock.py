"""Clocks that freezegun, time-machine and a mocked `time.time` do not change.

Deadlines, pauses and limits are about real time, so a test that freezes the clock must not affect them. freezegun
replaces `time.monotonic` and `time.perf_counter`, and every module's reference to them. Both tools leave
`clock_gettime(CLOCK_MONOTONIC)` alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

TOLERANCE: Final = 1.0
"""Differences between two clocks up to this, in seconds, are not the work of a test's tool."""

_COARSE: Final = 5  # CLOCK_REALTIME_COARSE of Linux; time-machine changes CLOCK_REALTIME


def _clock(name: str, otherwise: Callable[[], float]) -> Callable[[], float]:
    which: Any = getattr(time, name, None)
    read: Any = getattr(time, "clock_gettime", None)  # not on Windows
    if which is None or read is None:
        return otherwise
    return partial(read, _COARSE if name == "CLOCK_REALTIME" and sys.platform == "linux" else which)


monotonic: Final = _clock("CLOCK_MONOTONIC", time.monotonic)
"""Seconds of a clock that never goes back, for differences."""

_real: Final = _clock("CLOCK_REALTIME", time.time)


def real_time() -> float:
    """Seconds since 1970 by the system's clock, whatever a test's tool has made of `time.time()`."""
    return _real()


def shift() -> float:
    """The seconds by which `time.time()` is behind the real time; 0 unless a test's tool has changed it.

    Code that takes `time.time() + timeout` for a deadline, as gRPC does, needs a timeout that is longer by this.
    """
    difference = _real() - time.time()
    return difference if abs(difference) > TOLERANCE else 0.0
