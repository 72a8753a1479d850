"""Django's compilers for the mirror, whose connection has no alias in `django.db.connections`.

An expression's `as_firestore()` has precedence over `as_sqlite()`, and returns SQL of SQLite.
UUIDs are native values in Firestore, so they are in the mirror, too: texts with hyphens, as PostgreSQL casts them.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models.expressions import Col
from django.db.models.functions import Cast
from django.db.models.sql import compiler
from django.db.models.sql.datastructures import Join

UUID_FUNCTION = "FIRESTORE_UUID"


class MirrorCompiler:
    """Asks expressions for `as_firestore()`, binds UUIDs as texts, and casts to them."""

    connection: Any

    def compile(self, node: Any) -> tuple[str, Any]:
        """The SQL and the parameters of an expression."""
        inner: Any = super()
        if isinstance(node, Cast) and node.output_field.get_internal_type() == "UUIDField":
            sql, params = self.compile(node.get_source_expressions()[0])
            return f"{UUID_FUNCTION}({sql})", params
        if isinstance(node, Join):
            columns: Any = ColumnsOfJoin(self)
            return node.as_sql(columns, self.connection)
        of_vendor = getattr(node, "as_firestore", None)
        sql, params = inner.compile(node) if of_vendor is None else of_vendor(self, self.connection)
        if any(isinstance(value, UUID) for value in params):
            params = tuple(str(value) if isinstance(value, UUID) else value for value in params)
        return sql, params


class ColumnsOfJoin:
    """A compiler that doubles the percent signs of a join's columns: `Join.as_sql()` takes their SQL for a format."""

    def __init__(self, inner: MirrorCompiler) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def compile(self, node: Any) -> tuple[str, Any]:
        """The SQL and the parameters of a column, or of a further condition."""
        sql, params = self.inner.compile(node)
        return (sql.replace("%", "%%") if isinstance(node, Col) else sql), params


def as_uuid(value: object) -> object:
    """The text of a UUID in its standard form; other values unchanged, which equal no UUID."""
    try:
        return str(UUID(value)) if isinstance(value, str) else value
    except ValueError:
        return value


class SQLCompiler(MirrorCompiler, compiler.SQLCompiler):
    """SELECT."""


class SQLInsertCompiler(MirrorCompiler, compiler.SQLInsertCompiler):
    """INSERT."""


class SQLDeleteCompiler(MirrorCompiler, compiler.SQLDeleteCompiler):
    """DELETE."""


class SQLUpdateCompiler(MirrorCompiler, compiler.SQLUpdateCompiler):
    """UPDATE."""


class SQLAggregateCompiler(MirrorCompiler, compiler.SQLAggregateCompiler):
    """Aggregates over a subquery. Django looks up the subquery's compiler by alias."""

    query: Any

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Like Django's, with the subquery compiled for this connection."""
        query = self.query
        inner = copy.copy(query.inner_query)
        inner.get_compiler = partial(query.inner_query.get_compiler, connection=self.connection)
        self.query = copy.copy(query)
        self.query.inner_query = inner
        try:
            return super().as_sql(*args, **kwargs)
        finally:
            self.query = query


__all__ = [
    "SQLAggregateCompiler",
    "SQLCompiler",
    "SQLDeleteCompiler",
    "SQLInsertCompiler",
    "SQLUpdateCompiler",
]
