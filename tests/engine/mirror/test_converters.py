"""Values that SQLite computes: a column takes those of its type, and refuses others before anything is written."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import DataError, IntegrityError
from django.db.models import BinaryField, CharField, F, IntegerField, TextField, Value
from django.db.models.functions import Cast

from tests.engine.app.models import Everything

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)


def text(content: str) -> Value:
    return Value(content, output_field=TextField())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("boolean", text("yes")),
        ("boolean", Value(5)),
        ("small", text("12x")),
        ("float", text("much")),
        ("decimal", text("much")),
        ("date", text("soon")),
        ("date", text("2024-02-30")),
        ("datetime", text("soon")),
        ("time", text("soon")),
        ("duration", text("1 day")),
        ("uuid", text("0-0")),
        ("binary", Value(5)),
        ("binary", text("ab")),
        ("char", Value(b"ab", output_field=BinaryField())),
    ],
)
def test_a_value_of_another_type_is_refused(column: str, value: Value) -> None:
    """No column becomes null, false, or zeros. The error names the column and the value."""
    row = Everything.objects.create(char="before", binary=b"before", date=NOON.date(), boolean=False)
    before = Everything.objects.values().get()
    with pytest.raises(DataError, match=rf"engine_everything\.{column} cannot hold the computed value"):
        Everything.objects.update(**{column: value})
    with pytest.raises(DataError, match=column):
        Everything.objects.create(**{column: value})
    assert Everything.objects.values().get(pk=row.pk) == before
    assert Everything.objects.count() == 1


def test_text_that_is_not_json_is_refused() -> None:
    """As by SQLite's check."""
    Everything.objects.create(char="[", json={"a": "x"})
    for value in (F("char"), F("json__a")):
        with pytest.raises(IntegrityError, match=r"engine_everything\.json=.* is not valid JSON"):
            Everything.objects.update(json=value)
    assert Everything.objects.get().json == {"a": "x"}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("date", F("datetime"), NOON.date()),
        ("datetime", F("date"), datetime.datetime(2020, 5, 17, tzinfo=datetime.UTC)),
        ("boolean", F("small") - 6, True),
        ("boolean", Value(0), False),
        ("char", F("small"), "7"),
        ("small", F("small") * 0.4, 2),
        ("small", Cast(text("11"), CharField()), 11),
        ("float", F("small"), 7.0),
        ("duration", Cast(F("small"), IntegerField()), datetime.timedelta(microseconds=7)),
    ],
)
def test_a_value_that_the_column_can_hold_is_converted(column: str, value: Any, expected: Any) -> None:
    """A fraction in a column of integers is cut, as `save()` cuts it."""
    Everything.objects.create(small=7, datetime=NOON, date=datetime.date(2020, 5, 17))
    assert Everything.objects.update(**{column: value}) == 1
    found = Everything.objects.values_list(column, flat=True).get()
    assert (found, type(found)) == (expected, type(expected))
