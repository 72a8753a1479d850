"""Protocols of the connection, for use in the engine's packages.

`base.DatabaseWrapper` imports the packages, so they cannot import it and use these types instead. Connections that
Django provides (`compiler.connection`, `connections[alias]`) are typed as `Any` or as Django's base class.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from .cache import ConnectionCache
from .query.plan import Aggregate, Change, Increments, Outcome, Read
from .values.sizes import ByteBudget

Row = tuple[Any, ...]


class Cursor(Protocol):
    """Runs plans; see `base.Cursor`."""

    def run(self, read: Read) -> Iterator[Row]:
        """The rows of a read, lazily."""

    def superset(self, read: Read, limit: int | None = None, budget: ByteBudget | None = None) -> tuple[list[Row], int]:
        """A superset of the rows of a read, and the number of rows read from Firestore."""

    def aggregate(self, aggregates: Sequence[Aggregate]) -> Row:
        """One value per aggregate."""

    def commit(
        self, writes: Sequence[Change], *, isolate: bool = False, increments: Increments | None = None
    ) -> list[Outcome]:
        """Applies writes, or buffers them in a transaction."""

    def __enter__(self) -> Cursor: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Transaction(Protocol):
    """An open transaction; see `transactions/unit_of_work.py`."""

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was read or written yet."""

    @property
    def is_of_test(self) -> bool:
        """Whether this is the transaction of a Django TestCase."""

    @property
    def leases(self) -> Any:
        """The locks of `select_for_update(skip_locked=True)`; see `transactions/leases.py`."""

    def without_locks(self, *, keep: bool = True) -> AbstractContextManager[None]:
        """Reads inside take no locks."""

    def touches(self, read: Read) -> bool:
        """Whether a read is over a collection with buffered writes."""


class Mirror(Protocol):
    """The in-memory SQLite database of a connection; see `mirror/database.py`."""

    @property
    def connection(self) -> SQLiteWrapper:
        """Django's connection to the SQLite database."""

    def compiler(self, query: Any, elide_empty: bool = True) -> Any:
        """Django's SQLite compiler for a query."""

    def returning(self, sql: str, params: Sequence[Any]) -> list[Row]:
        """The rows that a statement returns, with SQLite's values."""

    def computed(
        self, expressions: str, params: Sequence[Any], table: Any, rows: Sequence[Mapping[str, Any]]
    ) -> list[Row]:
        """The values of expressions for rows that need not be stored; `table` is a `mirror.tables.Table`."""


class Connection(Protocol):
    """A connection to Firestore; see `base.DatabaseWrapper`."""

    alias: str
    settings_dict: dict[str, Any]
    ops: Any
    cache: ConnectionCache

    def cursor(self) -> Cursor:
        """A cursor, which runs plans."""

    def plan_cursor(self) -> Cursor:
        """A cursor for the plans of a statement, without the wrappers around SQL."""

    @property
    def timezone(self) -> datetime.tzinfo | None:
        """The time zone of the database's datetimes."""

    @property
    def timezone_name(self) -> str:
        """The time zone's name."""

    @property
    def unit(self) -> Transaction | None:
        """The open transaction; None in autocommit mode."""

    @property
    def mirror(self) -> Mirror:
        """The in-memory SQLite database for queries that Firestore does not support."""

    def option(self, name: str) -> Any:
        """One of OPTIONS, or its default. Raises `ImproperlyConfigured`."""

    def lane(self, name: str) -> AbstractContextManager[None]:
        """Sets the lane of the calls made inside, for `connection.queries`."""
