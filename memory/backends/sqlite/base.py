"""SQLite that agrees with Firestore: `contains`, `startswith`, `endswith` tell upper from lower case.

Out of the box SQLite's LIKE ignores the case of ASCII letters, so `startswith="a"` finds "Anna" in
development and not in production. Here LIKE is case-sensitive, and the lookups that start with an `i`
compare upper-cased text.
https://docs.djangoproject.com/en/5.2/ref/databases/#substring-matching-and-case-sensitivity
"""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteFeatures
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations

FOLDED = frozenset({"iexact", "icontains", "istartswith", "iendswith"})


class DatabaseFeatures(SQLiteFeatures):
    """As Django's, but for the case of patterns."""

    has_case_insensitive_like = False


class DatabaseOperations(SQLiteOperations):
    """As Django's; the lookups that ignore case compare upper-cased text."""

    def lookup_cast(self, lookup_type: str, internal_type: str | None = None) -> str:
        return "UPPER(%s)" if lookup_type in FOLDED else super().lookup_cast(lookup_type, internal_type)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose LIKE is case-sensitive."""

    features_class = DatabaseFeatures
    ops_class = DatabaseOperations
    operators = {
        **base.DatabaseWrapper.operators,
        **dict.fromkeys(FOLDED, r"LIKE UPPER(%s) ESCAPE '\'"),
    }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA case_sensitive_like = ON")
        return connection
