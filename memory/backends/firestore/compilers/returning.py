"""Values that a statement returns to Django without a read: those that it wrote, and generated columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..connection import Connection
from ..constraints.definitions import fields_of
from ..mirror.converters import from_sqlite
from ..mirror.tables import Table
from ..query.lowering import column_ref


def returned(
    connection: Connection, table: str, fields: Sequence[Any], rows: Collection[Mapping[str, Any]]
) -> list[list[Any]] | None:
    """The values of `fields` in rows that were written, which are given by column; None if one is not known."""
    generated = [field for field in fields if field.generated]
    sources = {str(one.column): one for field in generated for one in _sources(field)}
    needed = {str(field.column) for field in fields if not field.generated}.union(sources)
    if any(not needed.issubset(row) for row in rows):
        return None
    computed = _computed(connection, table, generated, sources, list(rows)) if generated and rows else [()] * len(rows)
    known = [
        {**row, **dict(zip([str(field.column) for field in generated], values, strict=True))}
        for row, values in zip(rows, computed, strict=True)
    ]
    return [[row[str(field.column)] for field in fields] for row in known]


def _sources(field: Any) -> list[Any]:
    """The columns that a generated field is computed from."""
    return list(fields_of(field.model, field.expression))


def _computed(
    connection: Connection,
    table: str,
    generated: Sequence[Any],
    sources: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> list[list[Any]]:
    """The values of generated fields, computed by SQLite."""
    key = column_ref(generated[0].model._meta.pk, connection)
    fields = {**sources, **{str(field.column): field for field in generated}}
    names = ", ".join(f'"{field.column}"' for field in generated)
    found = connection.mirror.computed(names, (), Table(f"{table}:generated", fields, key, keyed=False), rows)
    convert = [from_sqlite(field, connection, connection.mirror.connection) for field in generated]
    return [
        [value if f is None or value is None else f(value) for f, value in zip(convert, row, strict=True)]
        for row in found
    ]
