"""Counts of what the app does: searches and their durations, hits of the cache, and calls to Firestore.

Each process counts in memory and adds its counts every `FLUSH_SECONDS` to the cache `MEMORY["CACHE"]`, by hour, at the
end of a request. With Redis the figures are those of all processes; with a cache of one process, those of that process.
The dashboard of the admin shows them. Calls to Firestore are counted for requests only, and only with

    MIDDLEWARE = ["memory.usage.UsageMiddleware", ...]

since they cost a few microseconds a call.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.cache import BaseCache, caches
from django.http import HttpResponseBase
from django.utils import timezone

from memory.backends import clock
from memory.backends.firestore.middleware import MeteredMiddleware
from memory.backends.firestore.statements import Cost

from . import telemetry
from .conf import memory_settings

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 30.0
HOURS: Final = 24
KEPT_SECONDS: Final = (HOURS + 2) * 3600
PREFIX: Final = "memory:usage"

BOUNDS: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500)
"""Milliseconds: the upper bounds of the classes of search durations. The last class has none."""
CLASSES: Final = (*(f"search_{bound}" for bound in BOUNDS), "search_more")
CACHE_HIT, CACHE_MISS = "cache_hit", "cache_miss"
REQUESTS, RPCS, READ, WRITTEN = "requests", "rpcs", "documents_read", "documents_written"
NAMES: Final = (*CLASSES, CACHE_HIT, CACHE_MISS, REQUESTS, RPCS, READ, WRITTEN)


class Counts:
    """The counts of this process that are not in the cache yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._flushed = clock.monotonic()

    def add(self, counts: Mapping[str, int]) -> None:
        """Add counts by name; on any thread."""
        with self._lock:
            self._counts.update(counts)

    def flush(self, *, now: bool = False) -> None:
        """Add the counts to the cache if `FLUSH_SECONDS` have passed, or `now`. Raises nothing."""
        with self._lock:
            if not self._counts or not (now or clock.monotonic() - self._flushed >= FLUSH_SECONDS):
                return
            counts, self._counts, self._flushed = self._counts, Counter(), clock.monotonic()
        try:
            store(counts, caches[memory_settings.cache], hour_of(timezone.now()))
        except Exception:  # of any cache backend: the request has been answered
            logger.exception("The counts of the last %.0f seconds are lost: the cache failed.", FLUSH_SECONDS)


counts = Counts()


def hour_of(moment: datetime) -> int:
    """Hours since 1970."""
    return int(moment.timestamp()) // 3600


def key_of(hour: int, name: str) -> str:
    """The key in the cache."""
    return f"{PREFIX}:{hour}:{name}"


def store(counted: Mapping[str, int], cache: BaseCache, hour: int) -> None:
    """Add counts to those of an hour. A cache that stores nothing is left alone."""
    for name, count in counted.items():
        key = key_of(hour, name)
        cache.add(key, 0, KEPT_SECONDS)
        try:
            cache.incr(key, count)
        except ValueError:  # not stored
            return


def add(name: str, count: int = 1) -> None:
    """Count something: one of `NAMES`."""
    counts.add({name: count})
    if name in (CACHE_HIT, CACHE_MISS):
        telemetry.record_cache_read(hit=name == CACHE_HIT)


@contextmanager
def timed_searches(count: int) -> Iterator[None]:
    """Counts `count` searches made inside, by their mean duration."""
    start = clock.monotonic()
    yield
    counts.add({class_of(1_000 * (clock.monotonic() - start) / max(1, count)): count})


def class_of(milliseconds: float) -> str:
    """The class of a search's duration."""
    return next((name for name, bound in zip(CLASSES, BOUNDS, strict=False) if milliseconds <= bound), CLASSES[-1])


def flush_counts(**kwargs: Any) -> None:
    """Receiver of `request_finished`."""
    counts.flush()


@dataclass(frozen=True)
class Usage:
    """The counts of the last `HOURS` hours, the current one included: by name, one number an hour, oldest first."""

    hours: Sequence[datetime]
    by_name: Mapping[str, Sequence[int]]
    is_shared: bool

    def total(self, name: str) -> int:
        """Of all hours."""
        return sum(self.by_name[name])

    @property
    def searches(self) -> Mapping[str, int]:
        """The number of searches by class."""
        return {name: self.total(name) for name in CLASSES}

    def percentile(self, share: float) -> int | None:
        """The bound in milliseconds of this share of the searches; None without searches, or if it has no bound."""
        return percentile(list(self.searches.values()), share)

    @property
    def hit_rate(self) -> float | None:
        """The share of reads of conversations that the cache answered, 0 to 1; None without reads."""
        hits, misses = self.total(CACHE_HIT), self.total(CACHE_MISS)
        return hits / (hits + misses) if hits + misses else None


def percentile(numbers: Sequence[int], share: float) -> int | None:
    """The bound of the class that the share of all searches falls in; None for the class without a bound."""
    wanted, seen = share * sum(numbers), 0
    if not wanted:
        return None
    for number, bound in zip(numbers, BOUNDS, strict=False):
        seen += number
        if seen >= wanted:
            return bound
    return None


def usage(now: datetime | None = None) -> Usage:
    """What the cache has: one read. This process's counts are added first. Raises the cache's errors."""
    counts.flush(now=True)
    cache = caches[memory_settings.cache]
    last = hour_of(now or timezone.now())
    hours = range(last - HOURS + 1, last + 1)
    found = cache.get_many([key_of(hour, name) for hour in hours for name in NAMES])
    return Usage(
        hours=[datetime.fromtimestamp(0, UTC) + timedelta(hours=hour) for hour in hours],
        by_name={name: [int(found.get(key_of(hour, name), 0)) for hour in hours] for name in NAMES},
        is_shared=type(cache).__name__ not in ("LocMemCache", "DummyCache"),
    )


class UsageMiddleware(MeteredMiddleware):
    """Counts requests and their calls to Firestore, as far as the request's own code makes them."""

    def metered(self, response: HttpResponseBase, cost: Cost) -> HttpResponseBase:
        """The response as it is."""
        count_request(cost)
        return response


def count_request(cost: Cost) -> None:
    """Count a request with its calls."""
    found = {REQUESTS: 1, RPCS: cost.rpcs, READ: cost.documents_read, WRITTEN: cost.documents_written}
    counts.add({name: count for name, count in found.items() if count})
