"""`date_hierarchy` for large collections: days, months and years with records, read from the index.

Django's admin uses DISTINCT over a function of every row's time. Here each period is one query that reads one row: the
first one after the preceding period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Aggregate, QuerySet
from django.utils import timezone

# Bounds of all times. With a bound, SQLite reads one end of the index instead of sorting the rows.
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def next_month(day: date) -> date:
    """The first day of the next month."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


FOLLOWING: Mapping[str, Callable[[date], date]] = {
    "day": lambda day: day + timedelta(days=1),
    "month": next_month,
    "year": lambda day: date(day.year + 1, 1, 1),
}


class Dates:
    """The part of the QuerySet API that `date_hierarchy` uses."""

    def __init__(self, records: Any) -> None:
        self.records = records

    def _first(self, field: str, start: datetime = EARLIEST) -> datetime | None:
        return self._times(field).filter(**{f"{field}__gte": start}).order_by(field).first()

    def _last(self, field: str) -> datetime | None:
        return self._times(field).filter(**{f"{field}__lte": LATEST}).order_by(f"-{field}").first()

    def _times(self, field: str) -> QuerySet[Any, datetime]:
        times: QuerySet[Any, datetime] = self.records.values_list(field, flat=True)
        return times

    def aggregate(self, first: Aggregate, last: Aggregate) -> dict[str, datetime | None]:
        """Like `QuerySet.aggregate` of the minimum and the maximum of a time field."""
        smallest, largest = (expression.get_source_expressions()[0].name for expression in (first, last))
        return {"first": self._first(smallest), "last": self._last(largest)}

    def datetimes(self, field: str, kind: str) -> Iterator[datetime]:
        """Like `QuerySet.datetimes`: the first record's time of each period. `kind` is year, month or day."""
        found = self._first(field)
        while found is not None:
            local = timezone.localtime(found)
            yield local
            if local.year == MAXYEAR:
                return
            start = datetime.combine(FOLLOWING[kind](local.date()), time(), timezone.get_current_timezone())
            found = self._first(field, start)


class LoadedDates(Dates):
    """`Dates` of records that are in memory."""

    def _first(self, field: str, start: datetime = EARLIEST) -> datetime | None:
        return min((time for record in self.records if (time := getattr(record, field)) >= start), default=None)

    def _last(self, field: str) -> datetime | None:
        return max((getattr(record, field) for record in self.records), default=None)


def with_dates(changelist: ChangeList) -> ChangeList:
    """A copy of the change list whose dates are read from the index."""
    copied = copy(changelist)
    found = getattr(changelist, "found", None)
    copied.queryset = Dates(changelist.queryset) if found is None else LoadedDates(found)
    return copied
