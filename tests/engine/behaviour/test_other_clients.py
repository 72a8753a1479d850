"""Documents by other clients: every type of Firestore in every column, read by both lanes and written back."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from django.db import connection, models
from django.db.models import Value

from memory.backends.firestore.errors import UnreadableValue
from memory.backends.firestore.query.lowering import column_ref
from memory.backends.firestore.query.plan import Query, Update
from memory.backends.firestore.rpc import codec
from memory.backends.firestore.rpc.channel import pb
from memory.backends.firestore.values.types import DOCUMENT_ID, FIELDS, Kind, Ref
from tests.engine.app.models import Author, Everything

pytestmark = pytest.mark.django_db(transaction=True)

NAME: Final = "projects/p/databases/(default)/documents/c/i"


def _made(fill: Callable[[Any], Any]) -> Any:
    message = pb["Value"]()
    fill(message)
    return message


def _point(message: Any) -> None:
    message.geo_point_value.latitude, message.geo_point_value.longitude = 1.5, -2.5


def _nest(message: Any, values: dict[str, Any]) -> None:
    """Each value in a map inside the map, and in a list if Firestore allows it."""
    for name, value in values.items():
        message.map_value.fields["map"].map_value.fields[name].CopyFrom(value)
        if name not in ("array", "vector"):
            message.map_value.fields["list"].array_value.values.append(value)


VALUES: Final[dict[str, Any]] = {
    "null": _made(lambda message: setattr(message, "null_value", 0)),
    "boolean": _made(lambda message: setattr(message, "boolean_value", True)),
    "integer": _made(lambda message: setattr(message, "integer_value", 7)),
    "double": _made(lambda message: setattr(message, "double_value", 2.5)),
    "infinity": _made(lambda message: setattr(message, "double_value", float("inf"))),
    "timestamp": codec.value(datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC), Kind.DATETIME),
    "text": _made(lambda message: setattr(message, "string_value", "seven")),
    "empty": _made(lambda message: setattr(message, "string_value", "")),
    "bytes": _made(lambda message: setattr(message, "bytes_value", b"\x01")),
    "reference": _made(lambda message: setattr(message, "reference_value", NAME)),
    "point": _made(_point),
    "array": codec.value([1, "a", None, 2.5], Kind.JSON),
    "map": codec.value({"a": {"b": [True]}}, Kind.JSON),
    "vector": codec.value([0.5], Kind.VECTOR),
}
VALUES["nested"] = _made(lambda message: _nest(message, dict(VALUES)))
COLUMNS: Final = [field for field in Everything._meta.concrete_fields if not field.primary_key]


def spelled(value: Any) -> str:
    """A value with its type; the keys of maps, which have no order, are sorted."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else repr(value)


def stored(row: Everything) -> Any:
    """The fields of the document of a row."""
    with connection.cursor() as cursor:
        found: Iterator[Any] = cursor.run(Query(Everything._meta.db_table, (DOCUMENT_ID, FIELDS)))
        [(_, fields)] = list(found)
    return fields


@pytest.mark.parametrize("column", COLUMNS, ids=lambda field: field.column)
def test_each_value_is_read_alike_or_refused_with_its_place(column: models.Field[Any, Any]) -> None:
    """Both lanes return the same value or name the document and the column, and the next query works.

    A row that can be read and is saved holds the same value; what JSON lacks has a form of its own.
    """
    row = Everything.objects.create()
    ref = column_ref(column, connection)
    with connection.cursor() as cursor:
        [(id,)] = list(cursor.run(Query(Everything._meta.db_table, (DOCUMENT_ID,))))
    Author.objects.create(name="fine")
    rows = Everything.objects.filter(pk=row.pk)
    answers = {}
    for name, message in VALUES.items():
        with connection.cursor() as cursor:
            cursor.commit([Update(Everything._meta.db_table, id, (Ref(ref.path, Kind.WIRE),), (message,))])
        found = []
        for query in (rows, rows.annotate(one=Value(1)).filter(pk__gt=0, slug__icontains="")):
            try:
                found.append(spelled(getattr(query.only(column.name).get(), column.attname)))
            except UnreadableValue as error:
                assert f"Column {column.column!r} of document {id!r} of 'engine_everything'" in str(error)  # noqa: PT017
                found.append("refused")
            except Everything.DoesNotExist:
                found.append(found[0])  # a value in `slug` that the condition leaves out
        assert Author.objects.get(name__icontains="FI").name == "fine"
        assert found[0] == found[1], name
        answers[name] = found[0]
        if ref.kind is Kind.JSON:
            rows.get().save()
            assert stored(row)[column.column] == message, name
    assert "refused" in answers.values() or ref.kind is Kind.JSON
    assert "None" in answers["null"]
    assert ref.kind is not Kind.JSON or "refused" not in answers.values()
