"""Hypothesis searches for lookups and functions of days and times that differ where clocks are set forward or back.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_days.py` compares 8,000 queries in nine time zones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, Final

import pytest
from django.db.models import Count, F, Q
from django.db.models.functions import ExtractHour, TruncDate, TruncDay, TruncHour, TruncTime
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Everything
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "12"))

CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "UTC": ("2024-02-29 00:00",),
    "America/St_Johns": ("2005-10-30 02:31", "2006-04-02 03:31"),  # back from 00:01 to 23:01
    "America/Sao_Paulo": ("2018-11-04 03:00", "2018-02-18 02:00"),  # no midnight; from 00:00 to 23:00
    "America/Havana": ("2024-11-03 05:00",),  # midnight twice
    "Pacific/Apia": ("2011-12-30 10:00",),  # a day is left out
    "Europe/Berlin": ("2024-03-31 01:00", "2024-10-27 01:00"),
    "America/New_York": ("2024-11-03 06:00", "2025-01-01 05:00"),
    "Australia/Lord_Howe": ("2024-04-06 15:00",),  # half an hour
    "Asia/Kathmandu": ("2024-12-31 18:15",),
}
"""Instants in UTC at which the clocks of a time zone change, or a year or a leap day begins."""

STEPS: Final = st.integers(-40, 40).map(lambda n: timedelta(minutes=37 * n)) | st.sampled_from(
    [timedelta(0), timedelta(microseconds=-1), timedelta(seconds=30), timedelta(minutes=59, seconds=30)]
)
FUNCTIONS: Final = (
    TruncDate("instant"),
    TruncDay("instant"),
    TruncHour("instant"),
    TruncTime("instant"),
    ExtractHour("instant"),
    F("instant") + timedelta(days=1),
)


def conditions(around: date) -> st.SearchStrategy[Q]:
    """Lookups of days, years and parts."""
    days = st.integers(-2, 2).map(lambda n: around + timedelta(days=n))
    paths: dict[str, st.SearchStrategy[Any]] = {
        **{f"instant__date{op}": days for op in ("", "__gt", "__gte", "__lt", "__lte")},
        "instant__date__in": st.lists(days, max_size=3),
        "instant__date__range": st.tuples(days, days),
        **{f"instant__year{op}": st.integers(around.year - 1, around.year + 1) for op in ("", "__gt", "__lte")},
        "instant__iso_year": st.integers(around.year - 1, around.year + 1),
        "instant__month": st.integers(around.month - 1, around.month + 1),
        "instant__day": st.integers(1, 31),
        "instant__hour__gte": st.integers(0, 23),
        "instant__time__lt": st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 30])),
    }
    leaf = st.sampled_from(sorted(paths)).flatmap(lambda path: paths[path].map(lambda value: Q(**{path: value})))
    return leaf | leaf.map(lambda one: ~one) | st.tuples(leaf, leaf).map(lambda two: two[0] | two[1])


def _answers(alias: str, zone: str, instants: list[datetime], asked: list[Q], function: Any) -> list[Any]:
    """The rows that conditions choose, the values of a function, and the number of rows by day."""
    rows = Everything.objects.using(alias)
    rows.all()._raw_delete(alias)  # type: ignore[attr-defined]
    rows.bulk_create(
        Everything(id=f"{i:02}", number=i, name="", moment=instant, instant=instant if i else None)
        for i, instant in enumerate(instants)
    )
    queries = [rows.filter(one).order_by("id").values_list("id") for one in asked]
    queries.append(rows.annotate(found=function).order_by("id").values_list("id", "found"))
    by_day = rows.annotate(of=TruncDate("instant")).values("of").annotate(n=Count("pk"))
    with timezone.override(zone):
        return [outcome(partial(list, query)) for query in (*queries, by_day.order_by("of").values_list("of", "n"))]


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestDays:
    """Days of the current time zone."""

    @examples(EXAMPLES)
    @given(data=st.data())
    def test_same_rows_and_values(self, data: st.DataObject) -> None:
        """Rows that lookups choose, groups by day, and the values of functions."""
        zone = data.draw(st.sampled_from(sorted(CHANGES)))
        change = datetime.fromisoformat(f"{data.draw(st.sampled_from(CHANGES[zone]))}+00:00")
        instants = [change + step for step in data.draw(st.lists(STEPS, min_size=3, max_size=12))]
        asked = data.draw(st.lists(conditions(change.date()), min_size=6, max_size=6))
        function = data.draw(st.sampled_from(FUNCTIONS))
        expected, found = (_answers(alias, zone, instants, asked, function) for alias in ("default", "firestore"))
        for one, answer, other in zip([*asked, function, "by day"], expected, found, strict=True):
            assert other == answer, (zone, one)
