"""`date_hierarchy` for large collections: days, months and years with records, read from the index.

Django's admin uses DISTINCT over a function of every row's time. Here each period is one query that reads one row: the
first one after the preceding period. There are at most 31 days or 12 months of one period, and the newest
`MOST_YEARS` years are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from itertools import islice
from typing import Any, TypeVar, cast

from django.contrib.admin.views.main import ChangeList
from django.db.models import Aggregate, QuerySet
from django.http import HttpRequest
from django.template.response import SimpleTemplateResponse
from django.utils import timezone

View = TypeVar("View", bound=Callable[..., Any])

# Bounds of all times. With a bound, SQLite reads one end of the index instead of sorting the rows.
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
# The year, month and day whose ends are the end of all times.
LAST = ["9999", "12", "31"]
# Each costs one query.
MOST_YEARS = 20


def in_utc_if_needed(view: View) -> View:
    """Decorates a view of the admin: a page with a time that the current time zone cannot show is shown in UTC.

    Such times are within a day of the start of the year 1 or the end of the year 9999. Only GET is repeated.
    """

    @wraps(view)
    def shown(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return _rendered(view(self, request, *args, **kwargs))
        except OverflowError:
            if request.method != "GET":
                raise
        with timezone.override(UTC):
            return _rendered(view(self, request, *args, **kwargs))

    return cast(View, shown)


def _rendered(response: Any) -> Any:
    return response.render() if isinstance(response, SimpleTemplateResponse) else response


def until_the_end(parameters: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The list's parameters, where a period of `date_hierarchy` that ends with the year 9999 is one without an end.

    Django computes the start of the period after it, which no date can hold.
    """
    names = [f"{field}__{part}" for part in ("year", "month", "day")]
    given = [name for name in names if name in parameters]
    period = [parameters[name][-1] for name in given]
    if not period or given != names[: len(given)] or period != LAST[: len(given)]:
        return dict(parameters)
    year, month, day = (int(part) for part in [*period, "1", "1"][:3])
    first = datetime(year, month, day, tzinfo=timezone.get_current_timezone())
    kept = {name: value for name, value in parameters.items() if name not in names}
    return {**kept, f"{field}__gte": [first.isoformat()]}


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
        return self._times(field).filter(**{f"{field}__gte": start}).order_by(field, "pk").first()

    def _last(self, field: str, before: datetime | None = None) -> datetime | None:
        end = {f"{field}__lte": LATEST} if before is None else {f"{field}__lt": before}
        return self._times(field).filter(**end).order_by(f"-{field}", "-pk").first()

    def _times(self, field: str) -> QuerySet[Any, datetime]:
        times: QuerySet[Any, datetime] = self.records.values_list(field, flat=True)
        return times

    def aggregate(self, first: Aggregate, last: Aggregate) -> dict[str, datetime | None]:
        """Like `QuerySet.aggregate` of the minimum and the maximum of a time field."""
        smallest, largest = (expression.get_source_expressions()[0].name for expression in (first, last))
        return {"first": self._first(smallest), "last": self._last(largest)}

    def datetimes(self, field: str, kind: str) -> Iterator[datetime]:
        """Like `QuerySet.datetimes`: a record's time in each period. `kind` is year, month or day."""
        if kind == "year":
            return iter(list(islice(self._years(field), MOST_YEARS))[::-1])
        return self._periods(field, kind)

    def _years(self, field: str) -> Iterator[datetime]:
        """The last record's time of each year, newest first."""
        found = self._last(field)
        while found is not None:
            local = timezone.localtime(found)
            yield local
            found = self._last(field, datetime(local.year, 1, 1, tzinfo=timezone.get_current_timezone()))

    def _periods(self, field: str, kind: str) -> Iterator[datetime]:
        found = self._first(field)
        while found is not None:
            local = timezone.localtime(found)
            yield local
            try:
                following = FOLLOWING[kind](local.date())
            except (ValueError, OverflowError):  # the last period of the year 9999
                return
            start = datetime.combine(following, time(), timezone.get_current_timezone())
            found = self._first(field, start)


class LoadedDates(Dates):
    """`Dates` of records that are in memory."""

    def _first(self, field: str, start: datetime = EARLIEST) -> datetime | None:
        return min((time for record in self.records if (time := getattr(record, field)) >= start), default=None)

    def _last(self, field: str, before: datetime | None = None) -> datetime | None:
        times = (getattr(record, field) for record in self.records)
        return max((time for time in times if before is None or time < before), default=None)


def with_dates(changelist: ChangeList) -> ChangeList:
    """A copy of the change list whose dates are read from the index."""
    copied = copy(changelist)
    found = getattr(changelist, "found", None)
    copied.queryset = Dates(changelist.queryset) if found is None else LoadedDates(found)
    return copied
