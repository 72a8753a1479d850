"""The tables that the schema editors of this process made or changed, since Firestore keeps no description of them.

The database knows documents only. So `introspection.py` describes a table as the last schema editor left it, or else
by the applied migrations. A table that an editor finds is first described by the model that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db.backends.base import schema
from django.db.models import CheckConstraint, Index, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import OrderBy
from django.utils.functional import cached_property

from .constraints.definitions import (
    Check,
    check,
    checks,
    constraint_key,
    default_name,
    name_of_columns,
    unique_keys,
    unique_together_key,
)
from .query.lowering import key_fields

Entry: TypeAlias = dict[str, Any]
"""A constraint or an index, as `get_constraints()` returns it."""


POSITIVE: Final = frozenset({"PositiveBigIntegerField", "PositiveIntegerField", "PositiveSmallIntegerField"})
"""Fields whose columns the engine checks."""


OF_THE_COLUMN: Final = ("name", "attname", "column", "null", "primary_key", "_unique", "db_index", "db_default")
"""Attributes of a foreign key that are not those of the field that it refers to."""


def without_model(field: Any) -> Any:
    """A copy of a field that keeps no model in memory; of a foreign key, one of the field that it takes its type from.

    A generated column is returned as it is: its expression needs the model.
    """
    if field.generated:
        return field
    stored = field
    while stored.remote_field:
        stored = stored.target_field
    made = copy(stored)
    for name in [name for name in vars(made) if isinstance(getattr(type(made), name, None), cached_property)]:
        del made.__dict__[name]  # some refer to the model
    made.model = None
    for name in OF_THE_COLUMN:
        setattr(made, name, getattr(field, name))
    return made


@dataclass(frozen=True)
class Described:
    """A table: its fields by column, the columns of its primary key, and its constraints and indexes by name.

    Constraints of a single field are not among `named`: they follow from the field. The fields are `without_model()`.
    """

    name: str
    fields: dict[str, Any]
    key: tuple[str, ...]
    named: dict[str, Entry] = field(default_factory=dict)
    references: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The table and the column that a foreign key refers to, by its column."""
    is_made: bool = False
    """Whether this process made the table, so that all of its indexes are known."""

    def constraints(self, index_name: Callable[[str, list[str]], str]) -> dict[str, Entry]:
        """The primary key, constraints and indexes. `index_name` is Django's, by table and columns."""
        found = {"__primary__": entry(self.key, primary_key=True, unique=True)} if self.key else {}
        for column, one in self.fields.items():
            if one.unique and not one.primary_key:
                found[default_name([one])] = entry([column], unique=True, index=True)
            elif one.db_index and not one.unique:
                found[index_name(self.name, [column])] = entry([column], index=True, type=Index.suffix)
            if one.get_internal_type() in POSITIVE and column not in self.references:
                found[f"check({column})"] = entry([column], check=True)
        return found | self.named

    def with_field(self, added: Any) -> Described:
        """With one more column."""
        key = (added.column,) if added.primary_key else self.key
        links = self.references | references([added])
        return replace(self, fields=self.fields | {added.column: without_model(added)}, key=key, references=links)

    def without_field(self, removed: Any) -> Described:
        """Without a column, and what names it."""
        column = removed.column
        return replace(
            self,
            fields={name: one for name, one in self.fields.items() if name != column},
            key=tuple(name for name in self.key if name != column),
            named={name: one for name, one in self.named.items() if column not in one["columns"]},
            references={name: to for name, to in self.references.items() if name != column},
        )

    def with_altered(self, old: Any, new: Any) -> Described:
        """With a column in another form, in its place, under its present name."""
        names = {old.column: new.column}
        fields = {
            names.get(name, name): without_model(new) if name == old.column else one
            for name, one in self.fields.items()
        }
        renamed = {}
        for name, one in self.named.items():
            columns = [names.get(column, column) for column in one["columns"]]
            unnamed = name == name_of_columns(one["columns"])  # of unique_together
            renamed[name_of_columns(columns) if unnamed else name] = one | {"columns": columns}
        key = tuple(names.get(name, name) for name in self.key if new.primary_key or name != old.column)
        if new.primary_key and new.column not in key:
            key = (new.column,)
        links = {name: to for name, to in self.references.items() if name != old.column} | references([new])
        return replace(self, fields=fields, named=renamed, key=key, references=links)

    def with_reference(self, before: tuple[str, str | None], after: tuple[str, str | None]) -> Described:
        """With foreign keys to another table or column; None stands for each column of the table."""

        def changed(to: tuple[str, str]) -> tuple[str, str]:
            matches = to[0] == before[0] and before[1] in (None, to[1])
            return (after[0], after[1] or to[1]) if matches else to

        return replace(self, references={name: changed(to) for name, to in self.references.items()})


class Catalog:
    """The tables of one database. None: a table that was deleted."""

    def __init__(self) -> None:
        self.tables: dict[str, Described | None] = {}

    def present(self) -> dict[str, Described]:
        """The tables that exist."""
        return {name: one for name, one in self.tables.items() if one is not None}

    def refer(self, before: tuple[str, str | None], after: tuple[str, str | None]) -> None:
        """Changes the foreign keys of all tables; see `Described.with_reference`."""
        self.tables |= {name: one.with_reference(before, after) for name, one in self.present().items()}

    def before(self, model: Any) -> Described:
        """A table that is about to change."""
        return self.tables.get(model._meta.db_table) or describe(model)


def describe(model: Any) -> Described:
    """The table of a model."""
    meta = model._meta
    local = [one for one in meta.local_concrete_fields if one.column is not None]
    fields = {one.column: without_model(one) for one in local}
    alone = {default_name([one]) for one in local if one.unique}  # described with their columns
    named = {key.name: _of_key(key) for key in (*unique_keys(model), *checks(model)) if key.name not in alone} | {
        index.name: of_index(model, index) for index in meta.indexes
    }
    key = tuple(str(one.column) for one in key_fields(model))
    return Described(meta.db_table, fields, key, named, references(local))


def references(fields: Iterable[Any]) -> dict[str, tuple[str, str]]:
    """The table and the column that foreign keys refer to, by column."""
    return {
        one.column: (one.target_field.model._meta.db_table, one.target_field.column)
        for one in fields
        if one.remote_field
    }


def _columns_of(model: Any, expressions: Iterable[Any]) -> list[str | None]:
    """The columns of expressions; None for those that are more than a column."""
    inner: list[Any] = [one.expression if isinstance(one, OrderBy) else one for one in expressions]
    names = [getattr(one, "name", LOOKUP_SEP) for one in inner]  # only F() has one
    return [None if LOOKUP_SEP in name else model._meta.get_field(name).column for name in names]


def of_index(model: Any, index: Any) -> Entry:
    """An index of `Meta.indexes`."""
    if index.expressions:
        return entry(_columns_of(model, index.expressions), index=True, type=index.suffix)
    columns = [model._meta.get_field(name).column for name, _ in index.fields_orders]
    orders = [order or "ASC" for _, order in index.fields_orders]
    return entry(columns, index=True, type=index.suffix) | {"orders": orders}


def of_constraint(model: Any, constraint: Any) -> Entry | None:
    """A constraint of `Meta.constraints`; None if the engine does not enforce it."""
    if isinstance(constraint, CheckConstraint):
        return _of_key(check(model, constraint))
    if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
        return _of_key(constraint_key(model, constraint))
    return None


def _of_key(key: Any) -> Entry:
    is_check = isinstance(key, Check)
    if is_check:
        return entry([one.column for one in key.reads], check=True)
    columns = [one.column for one in key.fields] or _columns_of(key.model, key.expressions)
    return entry(columns, unique=True, index=True)


def entry(columns: Iterable[Any], **flags: Any) -> Entry:
    """A constraint or an index. Flags that are not given are False."""
    listed = list(columns)
    return {
        "columns": listed,
        "orders": ["ASC" for _ in listed],
        "primary_key": False,
        "unique": False,
        "foreign_key": None,
        "check": False,
        "index": False,
        "type": None,
        **flags,
    }


class RecordingEditor(schema.BaseDatabaseSchemaEditor):
    """Records the changes of an editor in the catalog, once they are done. `sqlmigrate` changes nothing."""

    connection: Any
    collect_sql: bool

    @property
    def catalog(self) -> Catalog:
        """The tables of the connection's database."""
        found: Catalog = self.connection.introspection.catalog
        return found

    if TYPE_CHECKING:  # Django's, which django-stubs do not have

        def _create_index_name(self, table: str, columns: list[str], suffix: str = "") -> str: ...

    def _record(self, table: str, described: Described | None) -> None:
        if not self.collect_sql:
            self.catalog.tables[table] = described

    def _renamed(self, model: Any, **named: Entry | None) -> None:
        """Adds entries to a table, or removes those that are None."""
        before = self.catalog.before(model)
        kept = {name: one for name, one in (before.named | named).items() if one is not None}
        self._record(model._meta.db_table, replace(before, named=kept))

    def create_model(self, model: Any) -> None:
        super().create_model(model)
        self._record(model._meta.db_table, replace(describe(model), is_made=True))
        for through in _own_links(model._meta.local_many_to_many):
            self.create_model(through)

    def delete_model(self, model: Any) -> None:
        super().delete_model(model)
        self._record(model._meta.db_table, None)

    def add_field(self, model: Any, field: Any) -> None:
        before = self.catalog.before(model)
        super().add_field(model, field)
        for through in _own_links([field]):
            self.create_model(through)
        if _has_column(field, self.connection):
            self._record(model._meta.db_table, before.with_field(field))

    def remove_field(self, model: Any, field: Any) -> None:
        before = self.catalog.before(model)
        super().remove_field(model, field)
        if _has_column(field, self.connection):
            self._record(model._meta.db_table, before.without_field(field))

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        before = self.catalog.before(model)
        super().alter_field(model, old_field, new_field, strict)
        if _has_column(old_field, self.connection) and _has_column(new_field, self.connection):
            self._record(model._meta.db_table, before.with_altered(old_field, new_field))
            if not self.collect_sql:
                table = model._meta.db_table
                self.catalog.refer((table, old_field.column), (table, new_field.column))

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        before = self.catalog.tables.get(old_db_table) or describe(model)
        super().alter_db_table(model, old_db_table, new_db_table)
        if old_db_table != new_db_table:
            self._record(old_db_table, None)
            self._record(new_db_table, replace(before, name=new_db_table))
            if not self.collect_sql:
                self.catalog.refer((old_db_table, None), (new_db_table, None))

    def add_index(self, model: Any, index: Any) -> None:
        super().add_index(model, index)
        self._renamed(model, **{index.name: of_index(model, index)})

    def remove_index(self, model: Any, index: Any) -> None:
        super().remove_index(model, index)
        self._renamed(model, **{index.name: None})

    def rename_index(self, model: Any, old_index: Any, new_index: Any) -> None:
        super().rename_index(model, old_index, new_index)
        found = self.catalog.before(model).named.get(old_index.name) or of_index(model, new_index)
        self._renamed(model, **{old_index.name: None, new_index.name: found})

    def add_constraint(self, model: Any, constraint: Any) -> None:
        super().add_constraint(model, constraint)
        self._renamed(model, **{constraint.name: of_constraint(model, constraint)})

    def remove_constraint(self, model: Any, constraint: Any) -> None:
        super().remove_constraint(model, constraint)
        self._renamed(model, **{constraint.name: None})

    def alter_unique_together(self, model: Any, old_unique_together: Any, new_unique_together: Any) -> None:
        super().alter_unique_together(model, old_unique_together, new_unique_together)
        gone = {unique_together_key(model, names).name: None for names in old_unique_together}
        keys = [unique_together_key(model, names) for names in new_unique_together]
        self._renamed(model, **{**gone, **{key.name: _of_key(key) for key in keys if not _is_of_field(key)}})

    def alter_index_together(self, model: Any, old_index_together: Any, new_index_together: Any) -> None:
        super().alter_index_together(model, old_index_together, new_index_together)
        old, new = (
            {self._create_index_name(model._meta.db_table, columns, suffix="_idx"): columns for columns in listed}
            for listed in (_columns(model, old_index_together), _columns(model, new_index_together))
        )
        self._renamed(model, **{**dict.fromkeys(old), **{name: entry(one, index=True) for name, one in new.items()}})


def _columns(model: Any, together: Iterable[Iterable[str]]) -> list[list[str]]:
    return [[model._meta.get_field(name).column for name in names] for names in together]


def _is_of_field(key: Any) -> bool:
    """Whether a constraint is that of a unique column, which is described with the column."""
    return len(key.fields) == 1 and key.fields[0].unique


def _own_links(fields: Iterable[Any]) -> Iterator[Any]:
    """The models of the tables that Django makes for many-to-many fields."""
    for one in fields:
        through = getattr(one.remote_field, "through", None)
        if one.many_to_many and through is not None and through._meta.auto_created:
            yield through


def _has_column(field: Any, connection: Any) -> bool:
    return field.column is not None and field.db_parameters(connection=connection)["type"] is not None
