"""Keys of JSON compared by value and by size: every stored value against every number, on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import Q

from memory.backends.firestore.query.lowering import BEYOND_INT64

from .models import Everything

ROW = {"number": 1, "name": "a", "moment": datetime(2025, 1, 1, tzinfo=UTC)}
STORED: tuple[Any, ...] = (
    None, True, False, 0, -0.0, 1, 1.0, 1.5, -1, -1.5, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1,
    BEYOND_INT64, -BEYOND_INT64, 10**30, -(10**30), 10**300, -(10**300), 1e300, -1e300,
    "", "0", "a", "~", "\U0001f600", [], [0], ["a"], ["a", None], [["a"]], {}, {"a": 1}, {"": ""}, {"__%int": "-1"},
    {"b": 1, "a": {"d": 2, "c": 3}},
)  # fmt: skip
NUMBERS = (0, -0.0, 1, 1.0, 1.5, -1, -2, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 1e300, -1e300)
EQUAL = (
    *NUMBERS, 10**30, 2**63, "", "a", "0", [], ["a"], ["a", None], [0], [["a"]], {}, {"a": 1},
    {"b": 1, "a": {"d": 2, "c": 3}},
)  # fmt: skip


@pytest.fixture
def stored(db: None) -> None:
    """One record for each value, one without the key, and some that hold no map."""
    documents: list[Any] = [{"n": value} for value in STORED]
    documents += [{"m": 1}, None, [], 1, "n"]
    for alias in ("default", "firestore"):
        Everything.objects.using(alias).all().delete()
        Everything.objects.using(alias).bulk_create(
            Everything(id=f"{number:03}", data=data, **ROW) for number, data in enumerate(documents)
        )


def found(alias: str, condition: Q) -> list[Any]:
    """The values of the matching records, in the order of their keys."""
    return list(Everything.objects.using(alias).filter(condition).order_by("pk").values_list("data", flat=True))


@pytest.mark.django_db(databases=["default", "memory", "firestore"], transaction=True)
@pytest.mark.usefixtures("stored")
class TestKeys:
    """One table for both databases."""

    @pytest.mark.parametrize("lookup", ["lt", "lte", "gt", "gte"])
    def test_by_size(self, lookup: str) -> None:
        """In SQL, values other than numbers sort above all numbers, and a missing key is neither above nor below."""
        for number in NUMBERS:
            condition = Q(**{f"data__n__{lookup}": number})
            assert found("firestore", condition) == found("default", condition), number

    def test_by_size_beside_other_conditions(self) -> None:
        """A document without the key can still match the other branch of an OR."""
        for condition in (
            Q(data__n__gt=1) | Q(data__m=1),
            Q(data__n__gte=0) & Q(data__n__lt=2),
            Q(data__n__lt=0) | Q(pk="040"),
            Q(data__n__gt=1, number=1),
        ):
            assert found("firestore", condition) == found("default", condition), condition

    def test_by_value(self) -> None:
        """1 is 1.0, and lists are equal where their texts are."""
        for value in EQUAL:
            for condition in (Q(data__n=value), Q(data__n__in=[value, "a"])):
                assert found("firestore", condition) == found("default", condition), value

    def test_most_need_no_mirror(self) -> None:
        """Comparisons with 64-bit numbers run on Firestore."""
        records = Everything.objects.using("firestore")
        for condition in (Q(data__n__gt=1), Q(data__n__lte=1.5), Q(data__n=1.5), Q(data__n=["a"])):
            assert "lane: native" in records.filter(condition).explain(), condition
        assert "lane: mirror" in records.filter(data__n__gt="a").explain()
