"""Evaluates constraints on rows with SQLite before they are stored: conditions, expressions, generated columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.core.exceptions import EmptyResultSet, FieldError, FullResultSet
from django.db import DatabaseError, NotSupportedError
from django.db.models.expressions import Exists, Subquery
from django.db.models.functions import Now, Random
from django.db.models.sql import Query

from ..connection import Connection
from ..mirror.tables import Table
from ..query.lowering import column_ref
from ..values.types import Kind
from .definitions import COLLATIONS, Check, Key, Row, canonical_value, collation, field_collation, parts_of

NONDETERMINISTIC: Final = (Exists, Subquery, Now, Random)
"""Expressions whose value does not depend only on the row."""


def markers(connection: Connection, keys: Sequence[Key], rows: Sequence[Row]) -> list[dict[str, Key]]:
    """The markers that each row requires: constraints by marker id. Sends nothing."""
    found: list[dict[str, Key]] = [{} for _ in rows]
    for key in keys:
        for marked, values in zip(found, _values(connection, key, rows), strict=True):
            id = None if values is None else key.marker(values)
            if id is not None:
                marked[id] = key
    return found


def violated_checks(
    connection: Connection, checks: Sequence[Check], rows: Sequence[Row]
) -> Iterator[tuple[int, Check]]:
    """The positions of rows that violate a check, each with the check. Sends nothing."""
    for check in checks:
        for position, (holds,) in enumerate(_answers(connection, check, rows)):
            if holds == 0:
                yield position, check


def _values(connection: Connection, key: Key, rows: Sequence[Row]) -> list[list[Any] | None]:
    """The canonical values of a key for each row; None if its condition does not hold."""
    answers = _answers(connection, key, rows) if key.is_computed and rows else [(True,)] * len(rows)
    if key.compared:
        collations = [collation(expression, key.model) for expression in key.compared]
        return [
            [canonical_value(value, Kind.ANY, name) for value, name in zip(values, collations, strict=True)]
            if holds
            else None
            for holds, *values in answers
        ]
    columns = [(str(f.column), column_ref(f, connection).kind, field_collation(f)) for f in key.fields]
    return [
        [canonical_value(row.get(column), kind, name) for column, kind, name in columns] if answer[0] else None
        for row, answer in zip(rows, answers, strict=True)
    ]


def _answers(connection: Connection, key: Key, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """For each row, whether the condition holds, and the values of the compared expressions, computed by SQLite."""
    try:
        sql, params = _select(connection, key)
        return connection.mirror.computed(sql, params, _table(connection, key), rows)
    except (FieldError, sqlite3.Error, DatabaseError, NotImplementedError) as error:
        raise NotSupportedError(
            f"The constraint {key.name!r} of {key.table!r} cannot be enforced on Firestore, since SQLite cannot "
            f"compute it from a row ({error}): change or remove it."
        ) from error


def _select(connection: Connection, key: Key) -> tuple[str, list[Any]]:
    query = Query(key.model, alias_cols=False)
    compiler = query.get_compiler(connection=connection.mirror.connection)
    parts, params = ["1"], []
    if key.condition is not None:
        try:
            sql, values = compiler.compile(query.build_where(key.condition))
        except (FullResultSet, EmptyResultSet) as constant:
            sql, values = str(int(isinstance(constant, FullResultSet))), ()
        parts, params = [sql], list(values)
    for expression in key.compared:
        sql, values = compiler.compile(expression.resolve_expression(query, allow_joins=False))
        parts.append(sql)
        params.extend(values)
    return ", ".join(parts), params


def _table(connection: Connection, key: Key) -> Table:
    """A mirror table for rows without a unique key."""
    fields = {str(field.column): field for field in (*key.reads, *key.generated)}
    return Table(f"{key.table}:{key.name}", fields, column_ref(key.model._meta.pk, connection), keyed=False)


def unsupported_reason(connection: Connection, key: Key) -> str | None:
    """The reason why a constraint cannot be enforced; None if it can."""
    names = [collation(e, key.model) for e in key.compared] or [field_collation(f) for f in key.fields]
    if unknown := [name for name in names if name not in COLLATIONS]:
        return f"the collation {unknown[0]!r} is not one of {', '.join(filter(None, COLLATIONS))}"
    if not key.is_computed:
        return None
    try:
        _answers(connection, key, [{}])
        query = Query(key.model, alias_cols=False)
        where = [query.build_where(key.condition)] if key.condition is not None else []
        whole = [*where, *(one.resolve_expression(query, allow_joins=False) for one in key.compared)]
    except NotSupportedError as error:
        return str(error.__cause__)
    unstable = [type(part).__name__ for one in whole for part in parts_of(one) if isinstance(part, NONDETERMINISTIC)]
    return f"{unstable[0]} does not depend on the row alone" if unstable else None
