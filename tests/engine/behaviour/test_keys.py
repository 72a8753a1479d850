"""Primary keys of every kind: stored, found, sorted and referred to as on SQLite."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.test import TestCase

from tests.engine.app.models import KEYED, REFERRING

ALIASES = ("default", "sqlite")
LONG = "l" * 2_000

pytestmark = pytest.mark.django_db(transaction=True, databases=ALIASES)

VALUES: dict[str, list[Any]] = {
    "text": [
        "", "a", "a/b", "a.b", "a0", "/", ".", "..", "...", "./a", "__x__", "____", "__x", "a/b/", "\x01", "\U0010ffff",
        "é/é", LONG, f"{LONG}/", "z", "__x__\x01", "100%/", "a.\U0010ffff1b",
    ],
    "float": [0.0, -1.5, 0.1, 1e300, -1e-300, 2.0, 10.0],
    "decimal": [Decimal("0.000"), Decimal("-1.500"), Decimal("10.250"), Decimal("9.001"), Decimal("-100.000")],
    "date": [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(999, 5, 5)],
    "time": [dt.time(0), dt.time(23, 59, 59, 999_999), dt.time(12, 30, 0, 5)],
    "datetime": [dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC), dt.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=dt.UTC)],
    "boolean": [True, False],
    "duration": [dt.timedelta(0), dt.timedelta(days=-1, microseconds=1), dt.timedelta(days=400)],
    "binary": [b"", b"a", b"a/b", b"\x00", b"\xff" * 3, b"b" * 1_000],
}  # fmt: skip


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def both(kind: str, ask: Callable[..., Any]) -> list[Any]:
    return [[plain(value) for value in ask(KEYED[kind].objects.using(alias))] for alias in ALIASES]


@pytest.mark.parametrize("kind", VALUES)
def test_keys_are_found_and_sorted_as_on_sqlite(kind: str) -> None:
    """By equality, `in`, ranges, prefixes and joins, in both directions."""
    model, values = KEYED[kind], VALUES[kind]
    for alias in ALIASES:
        model.objects.using(alias).bulk_create(model(key=value, number=n % 2, code=n) for n, value in enumerate(values))
        objects = [REFERRING[kind](to_id=value) for value in values]
        REFERRING[kind].objects.using(alias).bulk_create(objects)
    for value in values:
        assert plain(model.objects.get(pk=value).pk) == value
        assert REFERRING[kind].objects.filter(to=value).count() == 1
        assert REFERRING[kind].objects.get(to__key=value).to == model(key=value)
    middle = sorted(values)[len(values) // 2]
    for ask in (
        lambda q: q.order_by("pk").values_list("pk", flat=True),
        lambda q: q.order_by("-pk").values_list("pk", flat=True),
        lambda q: q.filter(number=1).order_by("pk").values_list("pk", flat=True),
        lambda q: q.filter(pk__gt=middle).order_by("pk").values_list("pk", flat=True),
        lambda q: q.filter(pk__lte=middle).order_by("pk").values_list("pk", flat=True),
        lambda q: q.filter(pk__in=values[:3]).order_by("pk").values_list("pk", flat=True),
        lambda q: q.filter(pk__in=values[:3], number=0).order_by("pk").values_list("pk", flat=True),
        lambda q: q.exclude(pk=middle).order_by("pk").values_list("pk", flat=True),
        lambda q: q.filter(pk=middle, number__gte=0).values_list("number", flat=True),
    ):
        found, expected = both(kind, ask)
        assert found == expected
    for prefix in ("a", "a/", "l" * 100, "__") if kind == "text" else ():
        matching = Q(pk__startswith=prefix)
        found, expected = both(kind, lambda q, m=matching: q.filter(m).order_by("pk").values_list("pk", flat=True))
        assert found == expected


@pytest.mark.parametrize("kind", VALUES)
def test_rows_are_written_by_key(kind: str, calls: Callable[[], Any]) -> None:
    """A get, an update and a delete are one call each; a second row with the key is refused."""
    model = KEYED[kind]
    for value in VALUES[kind]:
        with calls() as made:
            model.objects.create(key=value)
            model.objects.get(pk=value)
            model.objects.filter(pk=value).update(number=3)
        assert [call["method"] for call in made] == ["Commit", "GetDocument", "Commit"]
        with pytest.raises(IntegrityError):
            model.objects.create(key=value)
        with transaction.atomic():
            row = model.objects.get(pk=value)
            row.number = F("number") + 1
            row.save()
            assert model.objects.filter(number=4).count() == 1
        row.delete()
    assert not model.objects.exists()


class InATestCase(TestCase):
    """In a transaction that is never committed, as every reader of the engine's own writes."""

    def test_own_writes_are_found_by_key(self) -> None:
        """With their unique columns."""
        for kind, values in VALUES.items():
            model = KEYED[kind]
            for number, value in enumerate(values):
                model.objects.create(key=value, code=number)
                with pytest.raises(IntegrityError), transaction.atomic():
                    model.objects.create(key=value)
                assert plain(model.objects.get(code=number).pk) == value
            assert list(model.objects.order_by("pk")) == [model(key=value) for value in sorted(values)]
