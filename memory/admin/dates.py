"""The days, months and years that a list has records of, read from the index.

Django's admin asks for them by DISTINCT over a function of every row's time. Here each period is found by one query
that reads one row: the first one after the period before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Aggregate, QuerySet
from django.utils import timezone

# All times lie between these; told so, SQLite reads one end of the index instead of sorting the rows.
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def next_month(day: date) -> date:
    """The first day of the month after."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


FOLLOWING: Mapping[str, Callable[[date], date]] = {
    "day": lambda day: day + timedelta(days=1),
    "month": next_month,
    "year": lambda day: date(day.year + 1, 1, 1),
}


class Dates:
    """A list's records, as far as the bar of dates asks: the first and last time, and the periods between."""

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
        """As `QuerySet.aggregate` of the smallest and the largest time."""
        smallest, largest = (expression.get_source_expressions()[0].name for expression in (first, last))
        return {"first": self._first(smallest), "last": self._last(largest)}

    def datetimes(self, field: str, kind: str) -> Iterator[datetime]:
        """As `QuerySet.datetimes`; `kind` is year, month or day. Of each period the first record's time."""
        found = self._first(field)
        while found is not None:
            local = timezone.localtime(found)
            yield local
            if local.year == MAXYEAR:
                return
            start = datetime.combine(FOLLOWING[kind](local.date()), time(), timezone.get_current_timezone())
            found = self._first(field, start)


class DatesOfFew(Dates):
    """Records that are here already."""

    def _first(self, field: str, start: datetime = EARLIEST) -> datetime | None:
        return min((time for record in self.records if (time := getattr(record, field)) >= start), default=None)

    def _last(self, field: str) -> datetime | None:
        return max((getattr(record, field) for record in self.records), default=None)


def with_dates(changelist: ChangeList) -> ChangeList:
    """The list for Django's `date_hierarchy`, with its dates read from the index."""
    shown = copy(changelist)
    found = getattr(changelist, "found", None)
    shown.queryset = Dates(changelist.queryset) if found is None else DatesOfFew(found)
    return shown
