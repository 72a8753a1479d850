"""The mirror: an in-memory SQLite database for queries that Firestore does not support, over a superset of the rows.

Django's SQLite compiler runs the original query there, so lookups, functions, joins and windows have the same semantics
as in development. `load_plan.py` plans the loads and `loader.py` runs them. SQLite's authorizer reports which columns a
statement reads, and only those are loaded. Tables are created once per thread and emptied after each query.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from django.db import DatabaseError, NotSupportedError, OperationalError
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.db.models import Field

from memory.backends.sqlite.base import DatabaseFeatures as SQLiteFeatures
from memory.backends.sqlite.base import DatabaseOperations as SQLiteOperations
from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from ..connection import Connection
from ..query.lowering import absent_value
from ..query.planner import Served, as_planned
from ..statements import MIRROR
from .converters import to_sqlite
from .load_plan import JoinGraph, Page, TableRef, loads, restricted_to, with_hidden_refs
from .loader import Loader
from .raw_sql import OF_VALUES, Authorizer, Read, ambiguous, bound_all, refusal_of
from .sql_text import named_tables
from .sqlite_compiler import UUID_FUNCTION, as_uuid
from .tables import Table, page_table

PARSER_LIMIT: Final = "parser stack overflow"
"""SQLite's message at YYSTACKDEPTH, https://www.sqlite.org/compile.html."""

UUID_FUNCTIONS: Final[Mapping[str, Callable[[], str]]] = {
    name: lambda make=make: str(make())  # type: ignore[misc]
    for name, make in {"UUIDV4": uuid.uuid4, "UUIDV7": getattr(uuid, "uuid7", None)}.items()
    if make is not None
}
"""The functions of Django's UUID4() and UUID7(), which return no hyphens on SQLite."""


def _also_of_outer(name: str) -> Any:
    own = getattr(SQLiteFeatures, name, True)  # Django 5.2 does not have all of them
    return property(lambda features: own and getattr(features.connection.outer.features, name, True))


class MirrorFeatures(SQLiteFeatures):
    """SQLite's features, except for those in which the native lane differs. Those that expressions look up when they
    are compiled have to be supported by the engine's connection too."""

    has_native_uuid_field = True
    supports_over_clause = _also_of_outer("supports_over_clause")
    supports_tuple_comparison_against_subquery = _also_of_outer("supports_tuple_comparison_against_subquery")
    supports_tuple_lookups = _also_of_outer("supports_tuple_lookups")


class MirrorOperations(SQLiteOperations):
    """SQLite's operations, with compilers that need no alias."""

    compiler_module = "memory.backends.firestore.mirror.sqlite_compiler"

    def adapt_json_value(self, value: Any, encoder: Any) -> Any:
        """JSON text with the order of keys that loaded values have: maps have none in Firestore."""
        text = super().adapt_json_value(value, encoder)
        return json.dumps(json.loads(text), sort_keys=True) if "{" in text else text


class MirrorWrapper(SQLiteWrapper):
    """The connection to the mirror. Receivers of `connection_created` can recognise it by `is_mirror`.

    Its alias is that of the outer connection, which Django compares with the alias of querysets in a query.
    """

    is_mirror = True
    features_class = MirrorFeatures
    ops_class = MirrorOperations

    def __init__(self, outer: Connection) -> None:
        super().__init__(_sqlite_settings(outer.settings_dict), outer.alias)
        self.outer = outer

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.create_function(UUID_FUNCTION, 1, as_uuid, deterministic=True)
        for name, make in UUID_FUNCTIONS.items():
            connection.create_function(name, 0, make)
        for name in OF_VALUES:  # SQLite declares their columns at the first use, which raw SQL has no permission for
            connection.execute(f"SELECT 1 FROM {name}('[]')")  # noqa: S608
        return connection

    @property
    def timezone(self) -> datetime.tzinfo | None:
        """The outer connection's time zone: changes of the setting do not reach the mirror's connection."""
        return self.outer.timezone

    @property
    def timezone_name(self) -> str:
        """See `timezone`."""
        return self.outer.timezone_name


class Mirror:
    """The in-memory SQLite database of one connection."""

    def __init__(self, outer: Connection) -> None:
        self.outer = outer
        self.connection = MirrorWrapper(outer)
        self._declared: dict[str, str] = {}

    def compiler(self, query: Any, elide_empty: bool = True) -> Any:
        """Django's SQLite compiler for a query."""
        return query.get_compiler(connection=self.connection, elide_empty=elide_empty)

    def compiler_of_raw(self, query: Any) -> Any:
        """Django's SQLite compiler for the converters of a raw query."""
        return self.connection.ops.compiler("SQLCompiler")(query, self.connection, None)

    @contextmanager
    def loaded(
        self,
        sql: str,
        params: Sequence[Any],
        tables: Mapping[str, Table],
        graph: JoinGraph,
        unsupported: Sequence[str],
        *,
        page: Page | None = None,
        versions_of: str | None = None,
        served: Served = as_planned,
    ) -> Iterator[dict[Any, Any]]:
        """Loads all rows that are relevant to a statement, and empties the tables afterwards.

        `graph` is the statement's join graph. With a `page`, only that slice of the first table reference is loaded for
        it, and `page_table()` holds its keys. Yields the update times of the documents of the table `versions_of`, by
        primary key. `served` is a read as indexes serve it.
        """
        known = graph_of(sql, tables, graph)
        present = {table_ref.table for table_ref in known.table_refs}
        for name in present:
            self._declare(tables[name])
        listed = None if page is None or page.with_own_rows else page_table(tables[graph.table_refs[0].table])
        if listed is not None:
            self._declare(listed)
        columns = self._columns_read(sql, params)
        loaded = {name.lower() for name in (*present, "" if listed is None else listed.name)} | OF_VALUES
        if unknown := {name for name in columns if name.lower() not in loaded}:
            raise OperationalError(f"no such table: {min(unknown)}")  # SQLite has it from an earlier statement
        loader = Loader(
            self.outer, self.insert, {name: tables[name] for name in present}, columns, unsupported, versions_of, served
        )
        try:
            with self.outer.lane(MIRROR):
                for load in loads(known, page):
                    rows = loader.load(load)
                    if page is None:
                        continue
                    loader.require_join_partners(load)
                    if load.page is not None and listed is not None:
                        keys = loader.keys(load, rows[load.page.checked :])
                        self.insert(listed, list(listed.fields.values()), keys)
            yield loader.versions
        finally:
            self._empty(present if listed is None else (*present, listed.name))

    def selected(
        self, sql: str, params: Any, tables: Mapping[str, Table]
    ) -> tuple[list[tuple[Any, ...]], tuple[tuple[Any, ...], ...]]:
        """The rows of a raw SELECT, and the description of its columns. `tables` are those that it may read."""
        lower, doubtful = sql.lower(), ambiguous(tables)
        known = {
            name: table
            for name, table in tables.items()
            if name not in doubtful and (name.lower() in lower or '"' in name)  # others cannot be read
        }
        for table in known.values():
            self._declare(table)
        params = bound_all(params, self.connection)
        compiled = self._authorized(f"EXPLAIN {sql}", params, known)[2]
        loader = Loader(
            self.outer, self.insert, {name: known[name] for name in compiled}, compiled, ("conditions in raw SQL",)
        )
        try:
            with self.outer.lane(MIRROR):
                for load in loads(JoinGraph(tuple(TableRef(name, "") for name in sorted(compiled)))):
                    loader.load(load)
            rows, description, _ = self._authorized(sql, params, known)
            return rows, description
        finally:
            self._empty(compiled)

    def _authorized(self, sql: str, params: Any, tables: Mapping[str, Table]) -> tuple[list[Any], Any, Read]:
        """The rows and the description of a statement, and the columns that it reads by table. Refuses all but SELECT
        from these tables."""
        authorizer = Authorizer(tables)
        with self.connection.cursor() as cursor:
            raw: sqlite3.Connection = self.connection.connection
            raw.set_authorizer(authorizer)
            try:
                cursor.execute(sql, params)
                return cursor.fetchall(), cursor.description, authorizer.read
            except (DatabaseError, sqlite3.Warning) as error:
                refused = refusal_of(sql.removeprefix("EXPLAIN "), error, authorizer.refused)
                if refused is None:
                    raise
                raise refused from error
            finally:
                raw.set_authorizer(None)

    def _empty(self, names: Iterable[str]) -> None:
        for name in names:
            self._execute(f'DELETE FROM "{name}"')  # noqa: S608 - a model's table name, not user input

    def returning(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, with SQLite's values."""
        with self.connection.cursor():
            raw: sqlite3.Connection = self.connection.connection
        return raw.cursor(factory=SQLiteCursorWrapper).execute(sql, tuple(params)).fetchall()

    def updated(self, sql: str, params: Sequence[Any], table: Table) -> list[tuple[Any, ...]]:
        """The rows that an UPDATE of a loaded table returns, with SQLite's values.

        Its subqueries read the rows as they were before it, as in PostgreSQL: a copy is updated. SQLite evaluates a
        correlated subquery for each row after it has updated others, whose order is not defined.
        """
        head = f'UPDATE "{table.name}" SET '  # noqa: S608 - a model's table name, not user input
        if "SELECT " not in sql or not sql.startswith(head):
            return self.returning(sql, params)
        copy = replace(table, name=f"{table.name}:updated")
        self._declare(copy)
        names = ", ".join(f'"{column}"' for column, field in table.fields.items() if not field.generated)
        try:
            self._execute(f'INSERT INTO "{copy.name}" ({names}) SELECT {names} FROM "{table.name}"')  # noqa: S608
            return self.returning(f'UPDATE "{copy.name}" AS "{table.name}" SET {sql.removeprefix(head)}', params)  # noqa: S608
        finally:
            self._execute(f'DELETE FROM "{copy.name}"')  # noqa: S608

    def computed(
        self, expressions: str, params: Sequence[Any], table: Table, rows: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Any, ...]]:
        """The values of expressions for rows that need not be stored, in the order of these codec values by column."""
        fields = [field for field in table.fields.values() if not field.generated]
        # In a table whose key is an integer, SQLite's row id is the key, and not the place of the row.
        unkeyed = replace(table, name=f"{table.name}:computed", keyed=False) if table.keyed else table
        self._declare(unkeyed)
        try:
            self.insert(unkeyed, fields, [[row.get(str(field.column)) for field in fields] for row in rows])
            source = f'"{unkeyed.name}" AS "{table.name}"'
            return self.returning(f"SELECT {expressions} FROM {source} ORDER BY {unkeyed.position}", params)  # noqa: S608
        finally:
            self._execute(f'DELETE FROM "{unkeyed.name}"')  # noqa: S608

    def try_index(self, table: Table, sql: str, name: str) -> None:
        """Raises SQLite's errors for the definition of an index."""
        self._declare(table)
        self._execute(sql)
        self._execute(f'DROP INDEX "{name}"')

    def insert(self, table: Table, fields: Sequence[Field[Any, Any]], rows: Sequence[Sequence[Any]]) -> None:
        """Inserts rows with one value per field."""
        if not rows:
            return
        convert = [to_sqlite(field, self.outer, self.connection) for field in fields]
        for place, absent in enumerate(map(absent_value, fields)):
            if absent is not None:
                rows = [[*row[:place], absent if row[place] is None else row[place], *row[place + 1 :]] for row in rows]
        values = [
            tuple(value if f is None or value is None else f(value) for f, value in zip(convert, row, strict=True))
            for row in rows
        ]
        names = ", ".join(f'"{field.column}"' for field in fields)
        marks = ", ".join("?" for _ in fields)
        raw: sqlite3.Connection = self.connection.connection
        raw.execute("BEGIN")
        try:
            raw.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', values)  # noqa: S608
        except BaseException:
            raw.execute("ROLLBACK")
            raise
        raw.execute("COMMIT")

    def _execute(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def _declare(self, table: Table) -> None:
        declaration = table.declaration(self.connection)
        name = table.name.lower()  # in SQLite, "Item" and "item" are the same table
        if self._declared.get(name) == declaration:
            return
        self._declared.pop(name, None)
        self._execute(f'DROP TABLE IF EXISTS "{table.name}"')
        self._execute(declaration)
        self._declared[name] = declaration

    def _columns_read(self, sql: str, params: Sequence[Any]) -> dict[str, frozenset[str]]:
        """The columns that SQLite's authorizer reports for a statement, by table."""
        read: dict[str, set[str]] = {}

        def note(action: int, table: str | None, column: str | None, *_: Any) -> int:
            if action == sqlite3.SQLITE_READ and table:
                read.setdefault(table, set()).add(column or "")
            return sqlite3.SQLITE_OK

        with self.connection.cursor() as cursor:
            raw: sqlite3.Connection = self.connection.connection
            raw.set_authorizer(note)
            try:
                cursor.execute(f"EXPLAIN {sql}", params)
            except OperationalError as error:
                if PARSER_LIMIT in str(error):
                    raise NotSupportedError(
                        "The query nests too many subqueries for SQLite's parser, which runs it in memory: "
                        "evaluate an inner query first, and pass its values with __in."
                    ) from error
                raise
            finally:
                raw.set_authorizer(None)
        return {table: frozenset(columns) for table, columns in read.items()}


def graph_of(sql: str, tables: Mapping[str, Table], graph: JoinGraph) -> JoinGraph:
    """The join graph of a statement's text: without what Django left out, and with the tables of raw SQL in it."""
    named = named_tables(sql, tables, graph.table_refs)
    return with_hidden_refs(restricted_to(graph, {name for name, _ in named}), named)


def _sqlite_settings(outer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **outer,
        "ENGINE": "memory.backends.sqlite",
        "NAME": ":memory:",
        "OPTIONS": {},
        "ATOMIC_REQUESTS": False,
    }
