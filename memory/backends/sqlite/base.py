"""Django's SQLite engine with Firestore's comparisons: `ENGINE = "memory.backends.sqlite"`.

SQLite's LIKE ignores the case of ASCII letters, so `contains` and `startswith` match more rows on SQLite than on
Firestore. On this engine LIKE is case-sensitive (and can use an index), and case-insensitive lookups (`icontains`,
`iexact`, ...) apply Unicode case folding to both sides.
"""

from typing import Any

from django.db.backends.sqlite3 import base
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


class DatabaseWrapper(base.DatabaseWrapper):
    """Applies case folding to the right side, and makes LIKE case-sensitive on every connection."""

    features_class = DatabaseFeatures
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
        connection = super().get_new_connection(conn_params)
        connection.create_function("MEMORY_CASEFOLD", 1, casefold, deterministic=True)
        connection.execute("PRAGMA case_sensitive_like = ON")
        return connection


def casefold(value: object) -> object:
    """The text with Unicode case folding applied; other values unchanged."""
    return value.casefold() if isinstance(value, str) else value
