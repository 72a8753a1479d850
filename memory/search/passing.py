"""Which items pass the filters that the index does not know: looked up in the database, up to a number of them.

items --at most MOST_PASSING, of the MOST_SCANNED newest--> Passing --> a mask of entries, and of segments
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connections
from numpy.typing import NDArray

from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.snapshots import epoch_microseconds

from .corpus import Corpus
from .owner import one_user_of

MOST_PASSING: Final = 5_000
"""Items whose ids are looked up. If more pass, the best entries are checked instead."""
MOST_SCANNED: Final = 200_000
"""Items, the newest, for which an SQL database evaluates the filters: SQLite takes 0.7 s of CPU for a million usual
ones."""
ALL: Final = int(np.iinfo(np.int64).min)
"""`Passing.since` if all that pass are known."""
NONE: Final = int(np.iinfo(np.int64).max)
"""`Passing.since` if it is not known of any item."""


@dataclass(frozen=True, eq=False)
class Passing:
    """The times of items that pass, by id. Of items earlier than `since` it is not known: microseconds since 1970."""

    times: Mapping[str, int]
    since: int

    @property
    def is_whole(self) -> bool:
        """Whether all that pass are known."""
        return self.since == ALL

    def mask(self, corpus: Corpus) -> NDArray[np.bool_]:
        """The entries that may pass."""
        known = np.fromiter((identity in self.times for identity in corpus.ids), bool, len(corpus))
        return known | (corpus.time < self.since)

    def may_be_within(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether an item of these times, both included, may pass."""
        has_known = np.searchsorted(self._sorted, first, "left") < np.searchsorted(self._sorted, last, "right")
        return has_known | (first < self.since)

    @cached_property
    def _sorted(self) -> NDArray[np.int64]:
        return np.sort(np.fromiter(self.times.values(), np.int64, len(self.times)))


UNKNOWN: Final = Passing({}, NONE)


def passing_of(items: MemoryItemQuerySet, is_large: bool) -> Passing:
    """The items of a queryset of one user; `UNKNOWN` if they are too many.

    Also if Firestore has no index for the filters: it would read all items, which are too many in a large memory.
    """
    if connections[items.db].vendor != "firestore":
        return _at_most(*_newest(items))
    # Slow to import: Google's client, which projects on other databases may not have.
    from memory.backends.firestore.errors import MissingIndex, QueryTooBroad

    if is_large and _reads_all(items):
        return UNKNOWN
    try:
        return _at_most(items, ALL)
    except (QueryTooBroad, MissingIndex):
        return UNKNOWN


def _at_most(items: MemoryItemQuerySet, since: int) -> Passing:
    rows = looked_up(items.order_by().values_list("pk", "timestamp")[: MOST_PASSING + 1])
    if len(rows) > MOST_PASSING:
        return UNKNOWN
    return Passing({pk: epoch_microseconds(time) for pk, time in rows}, since)


def looked_up(rows: Iterable[Any]) -> list[Any]:
    """The rows of items of which the database is asked whether they pass."""
    return list(rows)


def _newest(items: MemoryItemQuerySet) -> tuple[MemoryItemQuerySet, int]:
    """Those of the items that are among the user's newest, and since when. Firestore has an index for each filter."""
    newest = MemoryItem.all_objects.using(items.db).for_user(one_user_of(items)).order_by("-timestamp")
    times = list(newest.values_list("timestamp", flat=True)[MOST_SCANNED : MOST_SCANNED + 1])
    return (items.filter(timestamp__gte=times[0]), epoch_microseconds(times[0])) if times else (items, ALL)


def _reads_all(items: MemoryItemQuerySet) -> bool:
    """Whether Firestore has no index for the filters, and would read the items that they leave out."""
    from memory.backends.firestore.warnings import unsupported_parts  # as above

    connection: Any = connections[items.db]
    try:
        return bool(unsupported_parts(items.order_by().values_list("pk").query, connection))
    except EmptyResultSet:
        return False
