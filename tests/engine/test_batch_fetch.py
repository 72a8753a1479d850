"""`batch_fetch.fetch()`: the results of several querysets with concurrent calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from memory.backends.firestore.batch_fetch import Counted, fetch
from tests.engine.app.models import Note, Point
from tests.engine.app.vectors import Cosine

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def notes() -> None:
    """Thirty notes of two owners, and three points."""
    Note.objects.bulk_create(
        Note(
            id=f"n{number:02}",
            owner=("ann", "bob")[number % 2],
            stars=number,
            at=START + timedelta(days=number),
            data={"n": number},
        )
        for number in range(30)
    )
    Point.objects.bulk_create(Point(id=f"p{number}", owner="ann", vector=[1.0, float(number)]) for number in range(3))


def of(owner: str) -> Any:
    return Note.objects.filter(owner=owner).order_by("-stars")


def test_each_queryset_has_its_result(calls: Callable[[], Any]) -> None:
    """Rows like `values_list()`, distances, and numbers, in order, with one call each."""
    near = Point.objects.annotate(distance=Cosine("vector", [1.0, 0.0])).filter(distance__isnull=False)
    querysets = [
        of("ann").values_list("id", "at", "data")[:2],
        Counted(of("bob")),
        Counted(of("bob")[:4]),
        near.order_by("distance").values_list("id", "distance")[:2],
        of("nobody").values_list("id"),
    ]
    with calls() as made:
        found = fetch(querysets)
    assert found[0] == list(of("ann").values_list("id", "at", "data")[:2])
    assert found[1:3] == [15, 4]
    assert [row[0] for row in found[3]] == ["p0", "p1"]
    assert found[3][0][1] == pytest.approx(0)
    assert found[4] == []
    assert [call["method"] for call in made] == [
        "RunQuery",
        "RunAggregationQuery",
        "RunAggregationQuery",
        "RunQuery",
        "RunQuery",
    ]
    assert [call["documents_read"] for call in made] == [2, 1, 1, 2, 1]


def test_querysets_without_a_single_read_run_in_sequence() -> None:
    """By key, by several queries, in the mirror, or without a call."""
    many = [f"n{number:02}" for number in range(40)]
    querysets = [
        Note.objects.filter(pk="n07").values_list("stars"),
        of("ann").filter(stars__in=range(50)).values_list("id"),
        Counted(of("ann").filter(stars__in=range(50))),
        of("ann").filter(id__icontains="N0").values_list("id"),
        Counted(of("ann").filter(id__icontains="N0")),
        Note.objects.filter(pk__in=many).order_by("-id").values_list("id")[:2],
        Note.objects.none().values_list("id"),
        Counted(Note.objects.none()),
    ]
    expected = [one.queryset.count() if isinstance(one, Counted) else list(one) for one in querysets]
    assert fetch(querysets) == expected
    assert fetch([]) == []


def test_more_querysets_than_open_streams() -> None:
    """Each of sixty queries has its own result."""
    found = fetch([of("ann").filter(stars=number).values_list("stars") for number in range(60)])
    assert found == [[(number,)] if number < 30 and number % 2 == 0 else [] for number in range(60)]


def test_one_that_fails_fails_all() -> None:
    """With Django's error; the connection can be used afterwards."""
    before = connection.connection._client.timeout
    connection.connection._client.timeout = 0.0
    try:
        with pytest.raises(OperationalError):
            fetch([of("ann").values_list("id"), Counted(of("bob"))])
    finally:
        connection.connection._client.timeout = before
    assert fetch([Counted(of("bob"))]) == [15]


def test_inside_atomic_they_are_part_of_the_transaction(calls: Callable[[], Any]) -> None:
    """They see its writes and lock the rows, unless `locks=False` and nothing was read or written before."""
    with transaction.atomic():
        with calls() as made:
            assert fetch([Counted(of("ann"))], locks=False) == [15]
        assert [call["method"] for call in made] == ["RunAggregationQuery"]
        Note.objects.create(id="new", owner="ann", stars=99)
        for locks in (True, False):
            assert fetch([of("ann").values_list("id")[:1], Counted(of("ann"))], locks=locks) == [[("new",)], 16]
    with transaction.atomic(), calls() as made:
        assert fetch([Counted(of("ann"))]) == [16]
    assert [call["method"] for call in made] == ["BeginTransaction", "RunAggregationQuery"]


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_other_engines_have_the_same_results() -> None:
    """A project that develops on SQLite can use the same function."""
    Note.objects.using("sqlite").bulk_create(Note.objects.all())

    def results(alias: str) -> Any:
        notes = Note.objects.using(alias).filter(owner="ann").order_by("-stars")
        return fetch([notes.values_list("id", "at")[:3], Counted(notes), notes.filter(data__n=4).values_list("pk")])

    assert results("sqlite") == results("default")
    assert results("sqlite")[1] == 15
