"""Django's SQLite with the comparisons of Firestore: `ENGINE = "memory.backends.sqlite"`.

SQLite's LIKE ignores the case of ASCII letters, so `contains` and `startswith` find on SQLite what they do not find in
production. Here LIKE minds the case (which also lets it use an index), and the lookups that ignore it (`icontains`,
`iexact`, ...) fold both sides by Unicode's rules, not only ASCII letters.
"""

from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteFeatures
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations

CASE_INSENSITIVE = ("iexact", "icontains", "istartswith", "iendswith")


class DatabaseFeatures(SQLiteFeatures):
    """LIKE minds the case."""

    has_case_insensitive_like = False


class DatabaseOperations(SQLiteOperations):
    """Folds the left side of lookups that ignore case."""

    def lookup_cast(self, lookup_type: str, internal_type: str | None = None) -> str:
        if lookup_type in CASE_INSENSITIVE:
            return "MEMORY_CASEFOLD(%s)"
        return super().lookup_cast(lookup_type, internal_type)


class DatabaseWrapper(base.DatabaseWrapper):
    """Folds the right side, and makes LIKE mind the case on every connection."""

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
    """Unicode's caseless form of a text; numbers and NULL as they are."""
    return value.casefold() if isinstance(value, str) else value
