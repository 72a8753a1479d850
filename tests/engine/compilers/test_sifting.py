"""Conditions on a column that documents lack: the same rows as on SQLite, at the stated cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q

from memory.backends.firestore.errors import QueryTooBroad
from memory.backends.firestore.querysets import FirestoreQuerySet
from tests.engine.app.models import Berth

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

LENGTHS = [None, 3, None, None, 7, 7, 7, 7, 7, 7, 7, 7, None, 1]


@pytest.fixture(autouse=True)
def berths() -> None:
    """Rows in order of place. On Firestore every second document without a length lacks the column."""
    rows = [Berth(id=f"b{n:02}", place=n, length=length) for n, length in enumerate(LENGTHS)]
    Berth.objects.using("sqlite").bulk_create(rows)
    Berth.objects.bulk_create([row for row in rows if row.length is not None or row.place % 2])
    lacking = [row for row in rows if row.length is None and not row.place % 2]
    FirestoreQuerySet(Berth).widen(lacking, same=("place",))


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.filter(length__isnull=True),
        lambda q: q.filter(length=None)[:2],
        lambda q: q.filter(length=None)[1:3],
        lambda q: q.filter(length=None)[3:9],
        lambda q: q.exclude(length__lte=5)[:5],
        lambda q: q.exclude(length=7)[1:6],
        lambda q: q.exclude(length__in=[7, 1])[:20],
        lambda q: q.filter(Q(length__gt=5) | Q(length=None), place__gte=2)[:4],
        lambda q: q.filter(length__isnull=False).order_by("length", "place"),
        lambda q: q.filter(length__gte=3).order_by("-length", "place"),
        lambda q: q.filter(pk__in=["b00", "b01", "b12"], length=None),
        lambda q: q.filter(pk="b00", length=None),
        lambda q: q.filter(length=None).reverse()[:3],
        lambda q: q.filter(length=None, place=2),
        lambda q: q.order_by("length", "place")[:6],
    ],
)
def test_the_same_rows(change: Callable[[Any], Any]) -> None:
    """Lists, slices, counts; also of values."""
    here, there = (change(Berth.objects.using(alias).order_by("place")) for alias in ("default", "sqlite"))
    assert [row.pk for row in here] == [row.pk for row in there]
    assert here.count() == there.count()
    assert here.exists() == there.exists()
    assert list(here.values_list("pk", "length")) == list(there.values_list("pk", "length"))


@pytest.mark.parametrize("write", [lambda q: q.update(place=99), lambda q: q.delete()[0]])
def test_the_same_rows_are_written(write: Callable[[Any], Any]) -> None:
    """Updates and deletes."""
    for alias in ("default", "sqlite"):
        assert write(Berth.objects.using(alias).filter(length=None)) == 4
    left = [
        list(Berth.objects.using(alias).order_by("pk").values_list("pk", "place")) for alias in ("default", "sqlite")
    ]
    assert left[0] == left[1]


def test_a_slice_reads_a_few_rows_more(calls: Callable[[], Any]) -> None:
    """One call if they suffice; each further one begins after the last row."""
    with calls() as made:
        assert len(Berth.objects.order_by("place").exclude(length=3)[:4]) == 4
    assert len(made) == 1
    assert made[0]["documents_read"] <= 4 + 4
    with calls() as made:
        assert len(Berth.objects.order_by("place").filter(length=None)[:4]) == 4
    assert len(made) == 2
    assert made[0]["documents_read"] == 8
    assert 1 <= made[1]["documents_read"] <= 6  # the call ends with the last row that is wanted


def test_too_many_rows_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the mirror."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "mirror_limit", 5)
    with pytest.raises(QueryTooBroad, match="in vain"):
        list(Berth.objects.order_by("place").filter(length=None, place__gte=4)[:2])


def test_the_plan_says_what_is_kept() -> None:
    """And that the rest is native."""
    plan = Berth.objects.order_by("place").filter(length=None)[:2].explain()
    assert plan.splitlines() == [
        "lane: native",
        "query engine_berth order by place",
        "keep the first 2 where length is null or missing",
    ]
