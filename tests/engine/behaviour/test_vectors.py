"""Searches by distance: `find_nearest` if Firestore's semantics agree, SQLite's functions otherwise."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Q, Value

from tests.engine.app.models import Point
from tests.engine.app.vectors import Cosine, Distance, Euclidean, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

NOW = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
QUERY = [1.0, 0.5]


@pytest.fixture(autouse=True)
def points() -> None:
    """Twelve points on both engines, one without a vector and some expired."""
    made = [
        Point(
            id=f"p{i:02}",
            owner="ann" if i % 2 else "bob",
            kind=str(i % 3),
            until=[None, NOW - datetime.timedelta(days=1), NOW + datetime.timedelta(days=1)][i % 3],
            vector=None if i == 5 else [1.0 + i / 7, (i * i % 11) / 3 - 1],
        )
        for i in range(12)
    ]
    for alias in ("default", "sqlite"):
        Point.objects.using(alias).bulk_create(made)


def nearest(queryset: Any, distance: type[Distance]) -> Any:
    return queryset.annotate(distance=distance("vector", QUERY)).filter(distance__isnull=False).order_by("distance")


@pytest.mark.parametrize("distance", [Cosine, Euclidean, Product])
@pytest.mark.parametrize(
    "narrow",
    [
        lambda q: q,
        lambda q: q.filter(owner="ann"),
        lambda q: q.filter(owner="ann", kind__in=["0", "1"]),
        lambda q: q.filter(Q(until__isnull=True) | Q(until__gt=Value(NOW))).filter(owner="bob"),
        lambda q: q.filter(owner="nobody"),
    ],
)
def test_the_nearest_are_found_by_firestore(
    distance: type[Distance], narrow: Callable[[Any], Any], calls: Callable[[], Any]
) -> None:
    """The same rows, order and distances as with SQLite's functions, with one call that reads only these rows."""
    expected = list(nearest(narrow(Point.objects.using("sqlite")), distance)[:4].values_list("pk", "distance"))
    with calls() as made:
        found = list(nearest(narrow(Point.objects.all()), distance)[:4].values_list("pk", "distance"))
    assert [call["lane"] for call in made] == ["native"]
    assert [pk for pk, _ in found] == [pk for pk, _ in expected]
    assert [d for _, d in found] == pytest.approx([d for _, d in expected])


def test_instances_carry_distance_and_vector() -> None:
    """Instances have their vector as a list of floats, and a slice may have an offset."""
    first, second = nearest(Point.objects.all(), Cosine)[:2]
    assert isinstance(first.vector, list)
    assert first.distance <= second.distance
    [again] = nearest(Point.objects.all(), Cosine)[1:2]
    assert again == second


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (lambda: Point.objects.order_by(Cosine("vector", QUERY))[:3], "without vector__isnull=False"),
        (lambda: nearest(Point.objects.all(), Cosine), "without a slice"),
        (lambda: nearest(Point.objects.filter(kind__contains="1"), Cosine)[:3], "kind__contains"),
        (lambda: nearest(Point.objects.all(), Cosine).reverse()[:3], "order_by"),
    ],
)
def test_other_searches_by_distance_use_the_mirror(query: Callable[[], Any], reason: str) -> None:
    """Rows without a vector, no limit, unsupported filters, descending distance."""
    assert reason in query().explain()
    assert query()[0] is not None


def test_vectors_come_back_and_are_found_null() -> None:
    """They are stored as Firestore's vectors with double precision."""
    assert Point.objects.get(pk="p03").vector == [1.0 + 3 / 7, 9 / 3 - 1]
    assert [p.pk for p in Point.objects.filter(vector__isnull=True)] == ["p05"]
    Point.objects.filter(pk="p05").update(vector=[0.1, 0.2])
    assert Point.objects.get(pk="p05").vector == [0.1, 0.2]
