"""Raw SQL: a single SELECT over tables of models, in SQLite's dialect. Everything else is refused before any call.

SQLite itself says what a statement reads: its authorizer is asked for each table and column while the statement is
compiled, and again while it runs.
"""

from __future__ import annotations

import datetime
import decimal
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from django.db import NotSupportedError
from django.utils.duration import duration_microseconds

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

INSTEAD: Final[Mapping[str, str]] = {
    "INSERT": "create() or bulk_create()",
    "REPLACE": "bulk_create(update_conflicts=True)",
    "UPDATE": "the queryset's update(), with F() expressions, or bulk_update()",
    "DELETE": "the queryset's delete()",
    "TRUNCATE": "the queryset's delete(), or `manage.py flush`",
    "CREATE": "an operation of django.db.migrations",
    "ALTER": "an operation of django.db.migrations",
    "DROP": "an operation of django.db.migrations",
    "BEGIN": "transaction.atomic()",
    "COMMIT": "transaction.atomic()",
    "ROLLBACK": "transaction.atomic() and set_rollback()",
    "SAVEPOINT": "transaction.atomic()",
    "RELEASE": "transaction.atomic()",
    "LOCK": "select_for_update()",
}
"""What to use instead of a statement, by its first word."""

ACTIONS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_DELETE: "DELETE",
}
"""The same by the action that SQLite asks permission for, since a statement may begin with WITH."""

PERMITTED: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})

OF_VALUES: Final = frozenset({"json_each", "json_tree"})
"""Table-valued functions that read only their arguments."""

REFUSED_FUNCTIONS: Final = frozenset({"load_extension"})

LOCKS: Final = re.compile(r"\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b[^'()]*$", re.IGNORECASE)
"""The clause that locks rows, at the end of a statement that SQLite does not parse."""

NO_LOCKS: Final = "SQL locks no rows here; use the queryset's select_for_update(), or raw() without the clause"

Read = dict[str, set[str]]


class Authorizer:
    """Permits a SELECT from known tables, and records the columns that it reads by table.

    An empty name is that of a table of which no column is read, as in `COUNT(*)`.
    """

    def __init__(self, tables: Collection[str]) -> None:
        self._tables = tables
        self.read: Read = {}
        self.refused = ""

    def __call__(self, action: int, first: str | None, second: str | None, *_: Any) -> int:
        """SQLite's answer; see https://www.sqlite.org/c3ref/set_authorizer.html."""
        if action == sqlite3.SQLITE_READ and first in self._tables:
            self.read.setdefault(str(first), set()).add(second or "")
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (not first or first in OF_VALUES):
            return sqlite3.SQLITE_OK
        if action in PERMITTED and str(second).lower() not in REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if not self.refused:
            name = f"reads {first!r}" if action == sqlite3.SQLITE_READ else f"is {ACTIONS.get(action, 'no SELECT')}"
            self.refused = f"it {name}" + (f": use {INSTEAD[ACTIONS[action]]}" if action in ACTIONS else "")
        return sqlite3.SQLITE_DENY


def refusal(sql: Any, reason: str = "") -> NotSupportedError:
    """The error for a statement that is refused."""
    word = next(iter(str(sql).split()), "").upper()
    if not reason:
        reason = f"use {INSTEAD[word]}" if word in INSTEAD else "use the ORM"
    return NotSupportedError(
        f"Firestore has no SQL; only a single SELECT over tables of models is supported, and runs in memory. "
        f"{str(sql)[:100]!r} is refused: {reason}."
    )


def refusal_of(sql: str, error: Exception, refused: str) -> NotSupportedError | None:
    """The refusal of a statement that failed with `error` in SQLite; None if the error is the statement's own."""
    if "syntax error" in str(error) and LOCKS.search(sql):
        return refusal(sql, NO_LOCKS)
    if refused or isinstance(error, sqlite3.Warning) or "one statement" in str(error):
        return refusal(sql, refused)
    return None


def is_refused(sql: Any) -> bool:
    """Whether a statement can be refused by its first word."""
    return next(iter(str(sql).split()), "").upper() in INSTEAD


def ambiguous(tables: Iterable[str]) -> Collection[str]:
    """Names that differ from others only in case, which SQLite does not distinguish."""
    names = list(tables)
    counts = Counter(name.lower() for name in names)
    return {name for name in names if counts[name.lower()] > 1}


def bound(value: Any, inner: SQLiteWrapper) -> Any:
    """A parameter as the mirror stores such values."""
    match value:
        case datetime.datetime():
            if value.tzinfo is not None:
                value = value.astimezone(inner.timezone or datetime.UTC).replace(tzinfo=None)
            return str(value)
        case datetime.date() | datetime.time() | uuid.UUID():
            return str(value)
        case datetime.timedelta():
            return duration_microseconds(value)
        case decimal.Decimal():
            return str(value)
    return value


def bound_all(params: Any, inner: SQLiteWrapper) -> Any:
    """The parameters of a statement: a sequence, a mapping or None."""
    if params is None:
        return None
    if isinstance(params, Mapping):
        return {name: bound(value, inner) for name, value in params.items()}
    return tuple(bound(value, inner) for value in params)
