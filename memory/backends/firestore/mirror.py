"""Lane 2: an in-memory SQLite that answers what Firestore cannot, over the rows that Firestore can narrow it
to.

Django's own SQLite compiler runs the original query there, so every lookup, function, join and window has
the meaning that it has in development. SQLite itself tells which columns a statement reads (its authorizer
is asked while the statement is prepared), so only those are fetched. Tables are made once per thread and
emptied after each query.
"""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Context
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.models import Field
from django.utils.dateparse import parse_date, parse_datetime, parse_time
from django.utils.duration import duration_microseconds

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from .conditions import positive, weakened
from .errors import QueryTooBroad
from .lowering import column_ref, kind_of
from .plan import JSON_NULL, VERSION, Compare, Kind, Op, Ref
from .planner import Nothing, Sorted, superset
from .question import Link, Use
from .tree import TRUE, Condition, Select, all_of, any_of

if TYPE_CHECKING:
    from .base import DatabaseWrapper

Convert = Callable[[Any], Any]

# SQLite computes with floats, which hold this many decimal digits.
FLOAT_DIGITS: Final = Context(prec=15)
# Values of a join's column that a query is asked for; for more, the table is read by its other filters.
MAX_JOINED: Final = 300
# Statements that must not be counted as a table's use: "FROM t", "JOIN t", "UPDATE t".
USES: Final = re.compile(r'\b(?:FROM|JOIN|UPDATE|INTO)\s+"?([^\s",()]+)"?', re.IGNORECASE)
WORDS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Table:
    """A collection's copy: its fields by column, and the key's place."""

    name: str
    fields: Mapping[str, Field[Any, Any]]
    key: Ref

    def declaration(self, connection: SQLiteWrapper) -> str:
        """CREATE TABLE without constraints: the copy holds what Firestore holds, parts of rows too."""
        columns = ", ".join(_column(field, connection) for field in self.fields.values())
        return f'CREATE TABLE "{self.name}" ({columns})'


def _column(field: Field[Any, Any], connection: SQLiteWrapper) -> str:
    parameters = field.db_parameters(connection)
    collation = f" COLLATE {parameters['collation']}" if parameters.get("collation") else ""
    key = " PRIMARY KEY" if field.primary_key else ""
    return f'"{field.column}" {parameters["type"]}{collation}{key}{_generated(field, connection)}'


def _generated(field: Any, connection: SQLiteWrapper) -> str:
    """How SQLite computes a GeneratedField, which Firestore does not store."""
    if not field.generated:
        return ""
    sql, params = field.generated_sql(connection)
    editor = connection.SchemaEditorClass(connection)
    return f" GENERATED ALWAYS AS ({sql % tuple(map(editor.quote_value, params))}) VIRTUAL"


class MirrorWrapper(SQLiteWrapper):
    """The connection to the copy; receivers of `connection_created` can tell it by `is_mirror`."""

    is_mirror = True


class Mirror:
    """The SQLite behind one connection."""

    def __init__(self, outer: DatabaseWrapper) -> None:
        self.outer = outer
        # Aggregates over subqueries look their compiler up by alias, so the copy needs one: settings and
        # `connections.all()` do not see it. Its own alias is the outer one, as queries with `using()` check.
        self.using = f"{outer.alias}:mirror"
        self.connection = MirrorWrapper(_sqlite_settings(outer.settings_dict), outer.alias)
        self._declared: dict[str, str] = {}

    def compiler(self, query: Any, elide_empty: bool = True) -> Any:
        """Django's compiler for a query, on the copy."""
        connections[self.using] = self.connection
        return query.get_compiler(using=self.using, elide_empty=elide_empty)

    @contextmanager
    def loaded(
        self,
        sql: str,
        params: Sequence[Any],
        tables: Mapping[str, Table],
        uses: Mapping[str, Sequence[Use]],
        blame: Sequence[str],
        versions_of: str | None = None,
    ) -> Iterator[dict[Any, Any]]:
        """The copy, with every row that the statement could need; empty again afterwards.

        `uses` are those of each table in the statement. Yields the update times of the documents of `versions_of`, by
        primary key.
        """
        counted = _uses(sql, tables)
        for name in counted:
            self._declare(tables[name])
        columns = self._columns_read(sql, params)
        versions: dict[Any, Any] = {}
        budget = self.outer.option("mirror_limit")
        known = {name: list(uses.get(name, ())) for name, count in counted.items() if len(uses.get(name, ())) == count}
        try:
            with self.outer.lane("mirror"):
                for name in in_order(counted, turned(known)):
                    where = any_of(self._where(tables, name, use) for use in known.get(name, (Use(TRUE),)))
                    into = versions if name == versions_of else None
                    budget -= self._load(tables[name], columns.get(name, frozenset()), where, budget, blame, into)
            yield versions
        finally:
            for name in counted:
                self._execute(f'DELETE FROM "{name}"')  # noqa: S608 - a model's table, not a user's text

    def _where(self, tables: Mapping[str, Table], name: str, use: Use) -> Condition:
        """What a row must fulfil for one use of its table, given the rows of the tables that were loaded before."""
        link = use.link
        if link is None or link.column not in tables[name].fields:
            return use.condition
        field = tables[name].fields[link.column]
        values = self._values(tables[link.parent], link.parent_column)
        if len(values) > MAX_JOINED and not field.primary_key:
            return use.condition
        return all_of([use.condition, Compare(column_ref(field, self.outer), Op.IN, values)])

    def _values(self, table: Table, column: str) -> tuple[Any, ...]:
        """The values of a column of a table that is loaded."""
        found = self.returning(f'SELECT DISTINCT "{column}" FROM "{table.name}" WHERE "{column}" IS NOT NULL', ())  # noqa: S608
        convert = from_sqlite(table.fields[column], self.outer, self.connection)
        return tuple(value if convert is None else convert(value) for (value,) in found)

    def returning(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows that a statement returns, as SQLite holds them."""
        with self.connection.cursor():
            raw: sqlite3.Connection = self.connection.connection
        cursor = raw.execute(sql.replace("%s", "?").replace("%%", "%"), tuple(params))
        return cursor.fetchall()

    def _execute(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def _declare(self, table: Table) -> None:
        declaration = table.declaration(self.connection)
        if self._declared.get(table.name) == declaration:
            return
        self._execute(f'DROP TABLE IF EXISTS "{table.name}"')
        self._execute(declaration)
        self._declared[table.name] = declaration

    def _columns_read(self, sql: str, params: Sequence[Any]) -> dict[str, frozenset[str]]:
        """The columns that SQLite says it would read, by table."""
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
            finally:
                raw.set_authorizer(None)
        return {table: frozenset(columns) for table, columns in read.items()}

    def _load(
        self,
        table: Table,
        wanted: frozenset[str],
        where: Condition,
        budget: int,
        blame: Sequence[str],
        versions: dict[Any, Any] | None,
    ) -> int:
        """Copies one table's rows; returns how many of them were read from Firestore."""
        everything = any(f.generated and f.column in wanted for f in table.fields.values())
        fields = [
            f for f in table.fields.values() if not f.generated and (everything or f.column in wanted or f.primary_key)
        ]
        refs = [column_ref(field, self.outer) for field in fields]
        columns = (*refs, VERSION) if versions is not None else tuple(refs)
        rows, read = self._read(Select(table.name, table.key, columns, where), budget, blame)
        if versions is not None:
            key = refs.index(table.key)
            versions.update({row[key]: row[-1] for row in rows})
        convert = [to_sqlite(field, self.outer, self.connection) for field in fields]
        values = [
            tuple(value if f is None or value is None else f(value) for f, value in zip(convert, row, strict=False))
            for row in rows
        ]
        names = ", ".join(f'"{field.column}"' for field in fields)
        marks = ", ".join("?" for _ in fields)
        raw: sqlite3.Connection = self.connection.connection
        raw.execute("BEGIN")
        raw.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', values)  # noqa: S608
        raw.execute("COMMIT")
        return read

    def _read(self, select: Select, budget: int, blame: Sequence[str]) -> tuple[list[tuple[Any, ...]], int]:
        """The rows, with what this transaction wrote, and how many of them were read from Firestore."""
        read = superset(select)
        if isinstance(read, Nothing):
            return [], 0
        with self.outer.cursor() as cursor:
            rows, count = cursor.superset(read.read if isinstance(read, Sorted) else read, budget)
        if count > budget:
            raise QueryTooBroad(
                f"Firestore cannot answer {', '.join(blame) or 'this query'}, and what it can filter leaves "
                f"more than {self.outer.option('mirror_limit')} documents of {select.collection!r}. "
                "Add a filter that Firestore can apply (an equality, a range, a prefix), or raise "
                "OPTIONS['mirror_limit']."
            )
        return rows, count


def _sqlite_settings(outer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **outer,
        "ENGINE": "memory.backends.sqlite",
        "NAME": ":memory:",
        "OPTIONS": {},
        "ATOMIC_REQUESTS": False,
    }


def turned(uses: dict[str, list[Use]]) -> dict[str, list[Use]]:
    """The uses, with a join turned round where only the joined table can be narrowed: it is loaded first then.

    That is exact for an inner join of tables that are used once.
    """
    for name, found in uses.items():
        link = found[0].link if len(found) == 1 else None
        if link is None or not link.inner or link.parent == name or not narrows(found[0]):
            continue
        parent = uses.get(link.parent, [])
        if len(parent) == 1 and parent[0].link is None and not narrows(parent[0]):
            back = Link(link.parent_column, name, link.column, inner=True)
            uses[name] = [replace(found[0], link=None)]
            uses[link.parent] = [replace(parent[0], link=back)]
            break
    return uses


def narrows(use: Use) -> bool:
    """Whether Firestore can tell rows that matter for a use from others."""
    return weakened(positive(use.condition)) != TRUE


def in_order(names: Iterable[str], uses: dict[str, list[Use]]) -> Iterator[str]:
    """Tables, parents of joins first; a join whose parent cannot come first is forgotten."""
    waiting, done = list(names), set[str]()
    while waiting:
        ready = [name for name in waiting if all(u.link is None or u.link.parent in done for u in uses.get(name, ()))]
        name = ready[0] if ready else waiting[0]
        if not ready and name in uses:
            uses[name] = [replace(use, link=None) for use in uses[name]]
        waiting.remove(name)
        done.add(name)
        yield name


def _uses(sql: str, tables: Mapping[str, Table]) -> dict[str, int]:
    """The tables that a statement names, and how often it reads each; a name that raw SQL hides counts as
    two."""
    uses: dict[str, int] = {}
    for name in USES.findall(sql):
        if name in tables:
            uses[name] = uses.get(name, 0) + 1
    for word in set(WORDS.findall(sql)):
        if word in tables and word not in uses:
            uses[word] = 2
    return uses


def tables_of(models: Iterable[Any], outer: DatabaseWrapper) -> dict[str, Table]:
    """Tables by name; where several models share one, their columns together."""
    fields: dict[str, dict[str, Field[Any, Any]]] = {}
    for model in models:
        if model._meta.proxy or model._meta.abstract:
            continue
        own = fields.setdefault(model._meta.db_table, {})
        for field in model._meta.local_concrete_fields:
            if field.column is not None:
                own.setdefault(field.column, field)
    return {name: Table(name, own, _key(own, outer)) for name, own in fields.items() if own}


def _key(fields: Mapping[str, Field[Any, Any]], outer: DatabaseWrapper) -> Ref:
    for field in fields.values():
        if field.primary_key:
            return column_ref(field, outer)
    return Ref(("__name__",), Kind.TEXT, key=True)


# --- values ---


def to_sqlite(field: Field[Any, Any], outer: DatabaseWrapper, inner: SQLiteWrapper) -> Convert | None:
    """How a value of the wire's Python form is kept by SQLite; None where it is kept as it is."""
    kind = kind_of(field, outer)
    if kind in (Kind.VECTOR, Kind.ANY):
        return lambda value: field.get_db_prep_save(value, connection=inner)
    if kind is Kind.DECIMAL:
        return lambda value: inner.ops.adapt_decimalfield_value(
            value, getattr(field, "max_digits", None), getattr(field, "decimal_places", None)
        )
    if kind is Kind.DATETIME:
        return lambda value: str(_naive(value, inner.timezone))
    return TO_SQLITE.get(kind)


def from_sqlite(field: Field[Any, Any], outer: DatabaseWrapper, inner: SQLiteWrapper) -> Convert | None:
    """The inverse of `to_sqlite`, for values that SQLite computed."""
    kind = kind_of(field, outer)
    if kind is Kind.DECIMAL:
        return lambda value: outer.ops.adapt_decimalfield_value(
            FLOAT_DIGITS.create_decimal(value) if isinstance(value, float) else field.to_python(value),
            getattr(field, "max_digits", None),
            getattr(field, "decimal_places", None),
        )
    if kind is Kind.DATETIME:
        return lambda value: _instant(parse_datetime(str(value)), inner.timezone)
    if kind in (Kind.VECTOR, Kind.ANY):
        return lambda value: field.get_db_prep_save(field.to_python(value), connection=outer)
    return FROM_SQLITE.get(kind)


def _naive(value: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    if settings.USE_TZ and zone is not None and zone is not datetime.UTC:
        value = value.astimezone(zone)
    return value.replace(tzinfo=None)


def _instant(value: datetime.datetime | None, zone: datetime.tzinfo | None) -> datetime.datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone if settings.USE_TZ and zone is not None else datetime.UTC)
    return value.astimezone(datetime.UTC)


def _json_text(value: Any) -> str:
    return "null" if value is JSON_NULL else json.dumps(value)


def _json_value(text: Any) -> Any:
    value = json.loads(text)
    return JSON_NULL if value is None else value


TO_SQLITE: Final[dict[Kind, Convert]] = {
    Kind.DATE: str,
    Kind.TIME: str,
    Kind.DURATION: duration_microseconds,
    Kind.UUID: lambda value: value.hex,
    Kind.JSON: _json_text,
}
FROM_SQLITE: Final[dict[Kind, Convert]] = {
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.TEXT: str,
    Kind.BINARY: bytes,
    Kind.DATE: lambda value: parse_date(str(value)[:10]),
    Kind.TIME: lambda value: parse_time(str(value)),
    Kind.DURATION: lambda value: datetime.timedelta(microseconds=value),
    Kind.UUID: lambda value: UUID(str(value)),
    Kind.JSON: _json_value,
}
