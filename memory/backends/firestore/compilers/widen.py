"""`FirestoreQuerySet.widen()`: rows are created, or bounds of existing ones move outwards, without a read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from django.db import NotSupportedError

from ..query.lowering import may_lack
from ..query.plan import Update
from ..statements import WRITE, Text
from ..widening import conflict_clause
from .insert_columns import Insertion, insertion


def widen(connection: Any, query: Any, same: Collection[str], least: Sequence[Any], greatest: Sequence[Any]) -> None:
    """Write an `InsertQuery`'s objects. `same` are columns, `least` and `greatest` fields."""
    compiler = query.get_compiler(connection=connection)
    shape = insertion(query.model, query.fields, connection)
    if shape.has_constraints:
        raise NotSupportedError(f"widen() does not support the constraints of {shape.table!r}.")
    written = {*same, *(field.column for field in (*least, *greatest))}
    lacked = [
        field.name
        for field in shape.fields
        if field.column not in written and not field.primary_key and not may_lack(field)
    ]
    if lacked:
        raise NotSupportedError(
            f"A row that widen() creates would lack {', '.join(lacked)}, and filters would not find it: "
            "name the fields in `same`, or give their field classes an `absent_value`."
        )
    rows = compiler.rows_to_insert(shape)
    kept = {*same, query.model._meta.pk.column}
    writes = [_write(shape, row, kept, least, greatest) for row in rows]
    connection.statement(
        partial(_text, compiler, shape, rows, least, greatest),
        lambda: connection.plan_cursor().commit(writes, isolate=True),
        WRITE,
    )


def _write(
    shape: Insertion, row: Sequence[Any], same: Collection[str], least: Sequence[Any], greatest: Sequence[Any]
) -> Update:
    shape.refuse_invalid(row)
    kept = [place for place, ref in enumerate(shape.columns) if ref.path[0] in same]
    columns, values = (tuple(part[place] for place in kept) for part in (shape.columns, row))
    bounds = [
        tuple((shape.columns[place], row[place]) for place in map(shape.fields.index, fields))
        for fields in (least, greatest)
    ]
    return Update(
        shape.table, shape.document_id(row), columns, values, least=bounds[0], greatest=bounds[1], upsert=True
    )


def _text(
    compiler: Any, shape: Insertion, rows: Sequence[Sequence[Any]], least: Sequence[Any], greatest: Sequence[Any]
) -> Text:
    """The statement in SQLite's dialect."""
    sql, params = compiler.insert_text(shape, rows, ())
    return (
        f"{sql} {conflict_clause(compiler.connection.mirror.connection, compiler.query.model, least, greatest)}",
        params,
    )
