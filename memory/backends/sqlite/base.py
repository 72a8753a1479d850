"""Django's SQLite engine with Firestore's comparisons: `ENGINE = "memory.backends.sqlite"`.

SQLite's LIKE ignores the case of ASCII letters, so `contains` and `startswith` match more rows on SQLite than on
Firestore. On this engine LIKE is case-sensitive (and can use an index), and case-insensitive lookups (`icontains`,
`iexact`, ...) apply Unicode case folding to both sides.
"""

import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base, schema
from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteFeatures
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations

CASE_INSENSITIVE = ("iexact", "icontains", "istartswith", "iendswith")


class DatabaseFeatures(SQLiteFeatures):
    """LIKE is case-sensitive."""

    has_case_insensitive_like = False


class DatabaseOperations(SQLiteOperations):
    """Applies case folding to the left side of case-insensitive lookups."""

    def lookup_cast(self, lookup_type: str, internal_type: str | None = None) -> str:
        if lookup_type in CASE_INSENSITIVE:
            return "MEMORY_CASEFOLD(%s)"
        return super().lookup_cast(lookup_type, internal_type)


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Compiles generated columns, indexes and constraints without LIKE, which is not deterministic here."""

    def _column_generated_sql(self, field: Any) -> Any:
        return self._without_like("_column_generated_sql", field)

    def _model_indexes_sql(self, model: Any) -> Any:
        return self._without_like("_model_indexes_sql", model)

    def table_sql(self, model: Any) -> Any:
        return self._without_like("table_sql", model)

    def add_index(self, model: Any, index: Any) -> Any:
        return self._without_like("add_index", model, index)

    def add_constraint(self, model: Any, constraint: Any) -> Any:
        return self._without_like("add_constraint", model, constraint)

    def _without_like(self, name: str, *args: Any) -> Any:
        with deterministic_like(self.connection):
            return getattr(super(), name)(*args)


class DatabaseWrapper(base.DatabaseWrapper):
    """Applies case folding to the right side, and makes LIKE case-sensitive on every connection."""

    features_class = DatabaseFeatures
    SchemaEditorClass = DatabaseSchemaEditor
    ops_class = DatabaseOperations
    operators = {
        **base.DatabaseWrapper.operators,
        **dict.fromkeys(CASE_INSENSITIVE, r"LIKE MEMORY_CASEFOLD(%s) ESCAPE '\'"),
    }
    pattern_ops = {
        **base.DatabaseWrapper.pattern_ops,
        "icontains": r"LIKE '%%' || MEMORY_CASEFOLD({}) || '%%' ESCAPE '\'",
        "istartswith": r"LIKE MEMORY_CASEFOLD({}) || '%%' ESCAPE '\'",
        "iendswith": r"LIKE '%%' || MEMORY_CASEFOLD({}) ESCAPE '\'",
    }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """An in-memory database is closed by the finalizer of its wrapper: `close()` leaves it open, so nothing else
        closes it when a thread ends."""
        connection = super().get_new_connection(conn_params)
        if self.is_in_memory_db():
            weakref.finalize(self, connection.close)
        connection.create_function("MEMORY_CASEFOLD", 1, casefold, deterministic=True)
        connection.create_function("MATCH", 2, matches, deterministic=True)
        connection.execute("PRAGMA case_sensitive_like = ON")
        return connection


@contextmanager
def deterministic_like(connection: Any) -> Iterator[None]:
    """Inside, lookups are compiled to MATCH instead of LIKE.

    `PRAGMA case_sensitive_like` makes LIKE a function that SQLite does not take for deterministic, and so refuses in
    generated columns. MATCH calls `matches()`, which is slower.
    """
    before = connection.operators, connection.pattern_ops
    connection.operators, connection.pattern_ops = (
        {name: _with_match(sql) for name, sql in known.items()} for known in before
    )
    try:
        yield
    finally:
        connection.operators, connection.pattern_ops = before


def _with_match(sql: str) -> str:
    return sql.replace("LIKE ", "MATCH ").replace(r" ESCAPE '\'", "")


def matches(pattern: object, value: object) -> bool | None:
    """Whether a value is LIKE a pattern, with the escape character of Django's lookups."""
    if pattern is None or value is None:
        return None
    return _compiled(str(pattern)).fullmatch(str(value)) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    tokens = re.findall(r"\\.|.", pattern, re.DOTALL)
    parts = [re.escape(one[1:]) if len(one) == 2 else wild.get(one, re.escape(one)) for one in tokens]
    return re.compile("".join(parts), re.DOTALL)


def casefold(value: object) -> object:
    """The text with Unicode case folding applied; other values unchanged."""
    return value.casefold() if isinstance(value, str) else value
