"""The mirror's tables: the SQLite schema of collections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Field

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper
from memory.backends.sqlite.base import deterministic_like

from ..connection import Connection
from ..query.lowering import COMPOSITE_KEY, collation_of, column_ref, key_fields, key_ref
from ..values.types import Ref

POSITIONS: Final = ("rowid", "oid", "_rowid_")


@dataclass(frozen=True, slots=True)
class Table:
    """The SQLite table of a collection: its fields by column, and its key. `keyed`: the key is unique."""

    name: str
    fields: Mapping[str, Field[Any, Any]]
    key: Ref
    keyed: bool = True
    key_columns: tuple[str, ...] = ()

    @property
    def position(self) -> str:
        """A name for SQLite's row id that is not a column."""
        return next(name for name in POSITIONS if name not in {column.lower() for column in self.fields})

    def declaration(self, connection: SQLiteWrapper) -> str:
        """CREATE TABLE without constraints: the table has the rows of Firestore, possibly without some columns."""
        columns = ", ".join(_column(field, connection, self.keyed) for field in self.fields.values())
        return f'CREATE TABLE "{self.name}" ({columns})'


def _column(field: Field[Any, Any], connection: SQLiteWrapper, keyed: bool) -> str:
    parameters = field.db_parameters(connection)
    collation = f" COLLATE {parameters['collation']}" if parameters.get("collation") else ""
    # A collation may take two documents for one.
    key = " PRIMARY KEY" if field.primary_key and keyed and not collation_of(field) else ""
    return f'"{field.column}" {parameters["type"]}{collation}{key}{_generated(field, connection)}'


def _generated(field: Any, connection: SQLiteWrapper) -> str:
    """The SQL of a GeneratedField, which SQLite computes and Firestore does not store."""
    if not field.generated:
        return ""
    with deterministic_like(connection):
        sql, params = field.generated_sql(connection)
    editor = connection.SchemaEditorClass(connection)
    return f" GENERATED ALWAYS AS ({sql % tuple(map(editor.quote_value, params))}) VIRTUAL"


def page_table_name(table: str) -> str:
    """The name of `page_table()`."""
    return f"{table}:page"


def page_table(table: Table) -> Table:
    """The table that holds the primary keys of a page."""
    column = table.key.path[0]
    return Table(page_table_name(table.name), {column: table.fields[column]}, table.key)


def table_of(name: str, fields: Mapping[str, Field[Any, Any]], key: Sequence[str], outer: Connection) -> Table:
    """A table by its fields and the columns of its primary key."""
    ref = column_ref(fields[key[0]], outer) if len(key) == 1 else COMPOSITE_KEY
    return Table(name, fields, ref, key_columns=tuple(key))


def tables_of(models: Iterable[Any], outer: Connection) -> dict[str, Table]:
    """Tables by name. If several models share a table, it has the columns of all."""
    fields: dict[str, dict[str, Field[Any, Any]]] = {}
    keys: dict[str, tuple[Ref, tuple[str, ...]]] = {}
    for model in models:
        if model._meta.proxy or model._meta.abstract:
            continue
        own = fields.setdefault(model._meta.db_table, {})
        for field in model._meta.local_concrete_fields:
            if field.column is not None:
                own.setdefault(field.column, field)
        columns = tuple(str(field.column) for field in key_fields(model))
        keys.setdefault(model._meta.db_table, (key_ref(model, outer), columns))
    return {name: Table(name, own, keys[name][0], key_columns=keys[name][1]) for name, own in fields.items() if own}
