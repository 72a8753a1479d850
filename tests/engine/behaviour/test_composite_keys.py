"""Composite primary keys: an id made of the parts, and the same answers as on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, connection, transaction
from django.db.models import F, Q
from django.test import TestCase

from memory.backends.firestore.query.plan import Query
from memory.backends.firestore.values.types import DOCUMENT_ID
from tests.engine.app.models import Placement, Reservation

ALIASES = ("default", "sqlite")
HALLS = ["a", "", "a/b", "a\x01", "b"]

pytestmark = pytest.mark.django_db(transaction=True, databases=ALIASES)


@pytest.fixture
def seats() -> None:
    for alias in ALIASES:
        Placement.objects.using(alias).bulk_create(
            Placement(hall=hall, number=number, code=10 * place + number + 1)
            for place, hall in enumerate(HALLS)
            for number in (-1, 2, 10)
        )


@pytest.mark.parametrize(
    "ask",
    [
        lambda q: q.filter(pk=("a", 2)),
        lambda q: q.filter(pk__in=[("a", 2), ("b", 10), ("b", 11)]),
        lambda q: q.filter(pk=("a", 2), guest=""),
        lambda q: q.exclude(pk=("a", 2)),
        lambda q: q.filter(pk__gt=("a", 2)),
        lambda q: q.filter(hall="a"),
        lambda q: q.filter(Q(pk=("a", 2)) | Q(number=10)),
        lambda q: q.filter(guest__icontains="").filter(pk__lte=("a/b", 2)),
        lambda q: q.filter(pk__in=Placement.objects.using(q.db).filter(number=2)),
    ],
)
def test_answers_agree_with_sqlite(ask: Callable[[Any], Any], seats: None) -> None:
    """Filters by the key, by its parts, and orders by it."""
    for order in ("pk", "-pk"):
        found, expected = ([row.pk for row in ask(Placement.objects.using(alias)).order_by(order)] for alias in ALIASES)
        assert found == expected


def test_ids_sort_as_keys_do(seats: None) -> None:
    """The stored form does not change."""
    ids = [id for (id,) in connection.cursor().run(Query("engine_placement", (DOCUMENT_ID,)))]
    keys = [row.pk for row in Placement.objects.order_by("pk")]
    assert len(ids) == len(keys)
    assert ids == sorted(ids)
    assert ids[keys.index(("a", 2))] == "a\x01\x010000000000000000002"


def test_rows_that_joins_choose_are_updated(seats: None) -> None:
    """With constants and with expressions, once for each row; and deleted."""
    for alias in ALIASES:
        Reservation.objects.using(alias).bulk_create(
            Reservation(id=f"r{i}", hall=hall, number=number)
            for i, (hall, number) in enumerate([("a", 2), ("a", 2), ("b", -1)])
        )
    states = []
    for alias in ALIASES:
        rows = Placement.objects.using(alias)
        reserved = rows.filter(reservations__id__gte="r0")
        counts = [reserved.update(guest="ann"), reserved.update(guest=F("hall"), code=F("code") + 100)]
        counts.append(rows.filter(reservations__id="r2").delete()[0])
        states.append((counts, sorted(rows.values_list("hall", "number", "guest", "code"))))
    assert states[0] == states[1]
    assert states[0][0] == [2, 2, 2]


def test_rows_are_written_by_key(calls: Callable[[], Any]) -> None:
    """A get, an update and a delete are one call each."""
    with calls() as made:
        Placement.objects.create(hall="a/b", number=1)
        seat = Placement.objects.get(pk=("a/b", 1))
        Placement.objects.filter(pk=("a/b", 1)).update(guest="ann")
    assert [call["method"] for call in made] == ["Commit", "GetDocument", "Commit"]
    with pytest.raises(IntegrityError):
        Placement.objects.create(hall="a/b", number=1)
    Placement.objects.filter(number=1).update(guest=F("hall"))
    seat.refresh_from_db()
    assert seat.guest == "a/b"
    with pytest.raises(NotSupportedError, match="cannot set a primary key"):
        Placement.objects.filter(number=1).update(number=2)
    rows = [Placement(hall="a/b", number=n, guest="bob") for n in (1, 2)]
    Placement.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["hall", "number"], update_fields=["guest"]
    )
    assert [row.guest for row in Placement.objects.order_by("pk")] == ["bob", "bob"]
    assert seat.delete()[0] == 1
    assert Placement.objects.all().delete()[0] == 1


class InATestCase(TestCase):
    """Own writes of a transaction."""

    def test_own_writes_are_found(self) -> None:
        """By key and by other columns."""
        Placement.objects.create(hall="a", number=1, code=5)
        with pytest.raises(IntegrityError), transaction.atomic():
            Placement.objects.create(hall="a", number=1)
        with pytest.raises(IntegrityError), transaction.atomic():
            Placement.objects.create(hall="a", number=2, code=5)
        assert Placement.objects.get(pk=("a", 1)) == Placement.objects.get(code=5)
        assert Placement.objects.filter(hall="a").update(guest="x") == 1
        assert Placement.objects.filter(guest="x").delete()[0] == 1
