"""All field types with extreme values: they are loaded and found as saved, in both lanes, as on SQLite."""

from __future__ import annotations

import datetime
import uuid
from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Upper

from memory.backends.firestore.query.plan import Update
from memory.backends.firestore.values.types import Kind, Ref
from tests.engine.app.models import Everything, Story
from tests.engine.versions import DJANGO_6_1, json_null

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"])

UTC = datetime.UTC
VALUES: list[tuple[str, Any]] = [
    ("big", 2**63 - 1),
    ("big", -(2**63)),
    ("binary", b""),
    ("binary", bytes(range(256))),
    ("boolean", True),
    ("boolean", False),
    ("char", ""),
    ("char", "nul \0, emoji 😀, \uffff, quote ' \" `"),
    ("char", "x" * 1000),
    ("date", datetime.date(1, 1, 1)),
    ("date", datetime.date(9999, 12, 31)),
    ("datetime", datetime.datetime(1, 1, 2, tzinfo=UTC)),
    ("datetime", datetime.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)),
    ("datetime", datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)),
    ("decimal", Decimal("0.0001")),
    ("decimal", Decimal("-99999999999.9999")),
    ("duration", datetime.timedelta(days=-400, microseconds=1)),
    ("duration", datetime.timedelta(microseconds=999999)),
    ("float", 1.5e300),
    ("float", -0.1),
    ("ip", "2001:db8::1"),
    ("json", {"a": [[1, [2]], {"": None, "__x__": 1, "a.b": "c", "`": 2}], "big": 2**70, "f": 1.5}),
    ("json", []),
    ("json", "text"),
    ("json", 0),
    ("positive", 2**31 - 1),
    ("small", -32768),
    ("time", datetime.time(0, 0)),
    ("time", datetime.time(23, 59, 59, 999999)),
    ("uuid", uuid.UUID(int=0)),
    ("uuid", uuid.UUID(int=2**128 - 1)),
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_values_come_back_in_both_lanes(name: str, value: Any) -> None:
    """Native by key, in the mirror by an unsupported query, and on SQLite for comparison."""
    for alias in ("default", "sqlite"):
        made = Everything.objects.using(alias).create(pk=1, **{name: value})
        objects = Everything.objects.using(alias)
        assert getattr(objects.get(pk=1), name) == value
        assert getattr(objects.get(slug__icontains=""), name) == value
        assert type(getattr(objects.get(pk=1), name)) is type(value)
        made.save()
        assert objects.filter(**{f"{name}__isnull": False}).count() == 1
        if not isinstance(value, dict | list):
            assert objects.filter(**{name: value}).count() == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("decimal", [Decimal(text) for text in ("-10", "-9.5", "-0.01", "0", "0.5", "2", "10", "1000000")]),
        ("date", [datetime.date(1, 1, 1), datetime.date(1969, 12, 31), datetime.date(2024, 1, 1)]),
        ("time", [datetime.time(0), datetime.time(0, 0, 0, 1), datetime.time(12), datetime.time(23, 59)]),
        ("duration", [datetime.timedelta(days=d) for d in (-400, -1, 0, 1, 10, 400)]),
        ("uuid", [uuid.UUID(int=i) for i in (0, 9, 10, 2**64, 2**127)]),
        ("float", [-1e300, -1.5, -0.1, 0.0, 1e-9, 2.0, 1e300]),
        ("big", [-(2**63), -10, -9, 0, 9, 10, 2**53, 2**53 + 1, 2**63 - 1]),
        ("char", ["", "A", "a", "aa", "b", "é", "\uffff", "😀"]),
        ("binary", [b"", b"\0", b"\0\0", b"\x01", b"\xff"]),
    ],
)
def test_stored_forms_keep_order(name: str, values: list[Any]) -> None:
    """Ranges and orders agree with the values, although some are stored as text."""
    Everything.objects.bulk_create(Everything(**{name: value}) for value in reversed(values))
    stored = Everything.objects.filter(**{f"{name}__isnull": False}).order_by(name)
    assert list(stored.values_list(name, flat=True)) == values
    above = Everything.objects.filter(**{f"{name}__gt": values[1]}).order_by(f"-{name}")
    assert list(above.values_list(name, flat=True)) == values[:1:-1]
    assert Everything.objects.get(**{name: values[1]}) is not None


def test_sql_null_json_null_and_a_missing_key_are_three() -> None:
    """As on SQLite: NULL, JSON's null, and no such key."""
    for alias in ("default", "sqlite"):
        objects = Everything.objects.using(alias)
        objects.create(pk=1, json=None)
        objects.create(pk=2, json=json_null())
        objects.create(pk=3, json={"a": None})
        objects.create(pk=4, json={})
        found = {
            "null": objects.filter(json__isnull=True),
            "json null": objects.filter(json=json_null()),
            "key null": objects.filter(json__a=None),
            "no key": objects.filter(json__a__isnull=True),
            "key": objects.filter(json__has_key="a"),
        }
        assert {name: sorted(rows.values_list("pk", flat=True)) for name, rows in found.items()} == {
            "null": [1],
            "json null": [2],
            "key null": [3],
            "no key": [1, 2, 4],
            "key": [3],
        }
        assert [row.json for row in objects.order_by("pk")] == [None, None, {"a": None}, {}]


@pytest.mark.skipif(not DJANGO_6_1, reason="before JSONNull, bulk_update makes both SQL's NULL")
def test_bulk_update_distinguishes_sql_null_from_json_null() -> None:
    """As on SQLite: `None` is NULL, and JSON's null is a value."""
    for alias in ("default", "sqlite"):
        objects = Everything.objects.using(alias)
        rows = [objects.create(pk=pk, json={"a": 1}) for pk in (1, 2, 3)]
        rows[0].json, rows[1].json, rows[2].json = None, json_null(), ["x"]
        assert objects.bulk_update(rows, ["json"]) == 3
        assert list(objects.filter(json__isnull=True).values_list("pk", flat=True)) == [1]
        assert list(objects.filter(json=json_null()).values_list("pk", flat=True)) == [2]
        assert objects.get(pk=3).json == ["x"]


@pytest.mark.parametrize("block", [False, True])
def test_maps_are_found_in_any_order_of_their_keys(block: bool) -> None:
    """As on PostgreSQL: Firestore's maps have no order."""
    with transaction.atomic() if block else nullcontext():
        row = Everything.objects.create(json={"b": {"y": 1, "x": "ü"}, "a": [{"d": 1, "c": None}]})
        found = Everything.objects.filter(slug="")
        for value in (row.json, {"a": [{"c": None, "d": 1}], "b": {"x": "ü", "y": 1}}):
            assert found.get(json=value) == row
            assert found.get(json__in=[1, value]) == row
            assert found.get(json__b=value["b"]) == row
            assert found.get(json__a=value["a"]) == row
            assert found.get(json__a__in=[value["a"]]) == row
            assert not found.exclude(json=value).exists()
            assert Everything.objects.get_or_create(json=value)[1] is False


def test_a_text_of_nearly_one_megabyte_is_kept() -> None:
    """Long text is stored, but not used in Firestore's filters."""
    text = "ä" * 400_000
    Everything.objects.create(pk=1, file=text)
    assert Everything.objects.get(pk=1).file.name == text
    assert Everything.objects.filter(file=text).count() == 1


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, [{"a": [1.0, float("-inf")]}]])
def test_json_rejects_nan_and_infinities(value: Any) -> None:
    """As on SQLite. Such values stored by other clients do not break queries in the mirror."""
    row = Everything.objects.create(json=1)
    for write in (
        lambda: Everything.objects.create(json=value),
        lambda: Everything.objects.filter(pk=row.pk).update(json=value),
        lambda: Everything.objects.filter(pk=row.pk).update(json=value, char=Upper("slug")),
    ):
        with (
            pytest.raises(IntegrityError, match=r"engine_everything\.json contains NaN"),
            transaction.atomic(),
        ):
            write()
    with connection.cursor() as cursor:
        ref = Ref(("json",), Kind.JSON)
        name = str(row.pk).zfill(19)
        cursor.commit([Update("engine_everything", name, (ref,), ({"n": value, "a": 1},))])
    assert Everything.objects.annotate(a=F("json__a")).values_list("a", flat=True).get() == 1
    assert Everything.objects.filter(json__n__icontains="x").count() == 0


@pytest.mark.parametrize("alias", ["default", "sqlite"])
@pytest.mark.parametrize(
    "value", [None, [], {"type": "text", "value": "1"}, ["a", {"b": None}], "[]", "it's", 5, 1.5, True]
)
def test_json_of_a_field_that_is_no_json_field(alias: str, value: Any) -> None:
    """Its converter gets JSON text, as from SQL databases: in both lanes, own rows, and values()."""
    stories = Story.objects.using(alias)
    with transaction.atomic(alias):
        stories.create(pk="a", body=value)
        assert stories.get(pk="a").body == value
    stories.filter(pk="a").update(body=[value])
    assert stories.get(pk="a").body == [value]
    stories.filter(pk="a").update(body=value)
    for found in (stories, stories.annotate(upper=Upper("id")).filter(upper="A")):
        assert found.get().body == value
        assert list(found.values_list("body", "id")) == [(value, "a")]
