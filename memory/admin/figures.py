"""Figures of the dashboard and of the pages of people: counts that read a bounded part of an index.

A count stops at its limit, so that its cost does not depend on what is stored. On Firestore the counts of one call run
concurrently, and each is billed as one read for 1,000 index entries. `days_before` and `share` are pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final

from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import number_format

from memory.backends.firestore.batch_fetch import Counted, fetch
from memory.batches import batches

MOST_COUNTED: Final = 100_000
"""The limit of a count, unless another one is given: at most 101 reads on Firestore."""


AT_ONCE: Final = 10
"""Counts in one round of calls."""


@dataclass(frozen=True)
class Count:
    """A number of records; `more`: there are more of them, counting stopped."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{number_format(self.number, force_grouping=True)}{'+' if self.more else ''}"

    @classmethod
    def up_to(cls, counted: int, most: int) -> Count:
        """Of a count that stopped above `most`."""
        return cls(min(counted, most), counted > most)

    def __add__(self, other: Count) -> Count:
        return Count(self.number + other.number, self.more or other.more)


@dataclass(frozen=True)
class Countable:
    """What to count. `field` is one that an index has which serves the filters, so that SQL reads no rows."""

    records: QuerySet[Any]
    field: str
    most: int = MOST_COUNTED

    @property
    def limited(self) -> QuerySet[Any]:
        """One record more than are counted."""
        rows = self.records.order_by()
        if connections[rows.db].vendor != "firestore":
            rows = rows.values(self.field)
        return rows[: self.most + 1]


def counts_of(some: Sequence[Countable]) -> list[Count]:
    """The count of each. On Firestore `AT_ONCE` run concurrently: more would time out behind a slow one."""
    rounds = batches(list(some), AT_ONCE)
    numbers = [number for few in rounds for number in fetch([Counted(one.limited) for one in few])]
    return [Count.up_to(int(number), one.most) for number, one in zip(numbers, some, strict=True)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class Day:
    """A day in the current time zone, with its start and its end."""

    date: date
    start: datetime
    end: datetime


def days_before(last: date, count: int) -> list[Day]:
    """`count` days, `last` the last of them."""
    zone = timezone.get_current_timezone()
    dates = [last - timedelta(days=back) for back in range(count - 1, -2, -1)]
    starts = [datetime.combine(one, time(), zone) for one in dates]
    return [Day(one, *both) for one, both in zip(dates, pairwise(starts), strict=False)]


def of_days(records: Any, days: Sequence[Day], field: str = "timestamp") -> list[Countable]:
    """The records of each day."""
    return [Countable(records.filter(**{f"{field}__gte": day.start, f"{field}__lt": day.end}), field) for day in days]


def distinct(records: QuerySet[Any], field: str, most: int, then: Sequence[str] = ()) -> Iterator[str]:
    """The first `most` distinct values of a field in order: each is one query that reads one row.

    `then` continues the order as the index does, where one on the field alone does not serve the records' filters.
    """
    rows = records.order_by(field, *then).values_list(field, flat=True)
    value: str | None = ""
    for _ in range(most):
        value = rows.filter(**{f"{field}__gt": value}).first()
        if value is None:
            return
        yield value


def share(part: float, whole: float) -> float:
    """A share from 0 to 1; 0 of nothing."""
    return part / whole if whole else 0.0
