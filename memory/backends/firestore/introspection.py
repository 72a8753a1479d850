"""Introspection: the ids of a database's collections, and their tables as the applied migrations left them.

Firestore has no schema. Tables are described by the state of the applied migrations (`django_migrations`). Tables that
no applied migration knows, such as those of apps without migrations, are described by the installed models.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import django
from django.apps import apps
from django.db.backends.base.introspection import BaseDatabaseIntrospection, FieldInfo, TableInfo
from django.db.migrations.loader import MigrationLoader

from .constraints.definitions import Check, checks, unique_keys
from .values.marker_collections import is_internal
from .values.types import FIELD_KINDS

Models = Mapping[str, Any]
"""Models by the name of their table."""

STORED_AS: Final[Mapping[str, str]] = {
    "AutoField": "IntegerField",
    "BigAutoField": "BigIntegerField",
    "SmallAutoField": "SmallIntegerField",
}
"""The type of a foreign key's column by that of the field that it refers to."""


class DatabaseIntrospection(BaseDatabaseIntrospection):
    """Lists collections without the engine's own, and describes tables.

    In Firestore, a collection without documents does not exist.
    """

    data_types_reverse = {name: name for name in FIELD_KINDS}

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._given: dict[str, Any] = {}
        self._migrated: tuple[frozenset[Any], Models] = frozenset(), {}

    # --- the models of tables

    @contextmanager
    def described_by(self, model: Any) -> Iterator[None]:
        """Inside, the model describes its table: a schema editor knows the state between two operations."""
        before, self._given = self._given, {model._meta.db_table: model}
        try:
            yield
        finally:
            self._given = before

    def model_of(self, table: str) -> Any:
        """The model of a table; None if it is unknown."""
        if table in self._given:
            return self._given[table]
        return ChainMap(dict(self.migrated_models()), _by_table(apps.get_models(include_auto_created=True))).get(table)

    def migrated_models(self) -> Models:
        """The models of the applied migrations, cached until others are applied."""
        loader = MigrationLoader(self.connection)
        applied = frozenset(loader.applied_migrations or ()).intersection(loader.graph.nodes)
        if applied != self._migrated[0]:
            state = loader.project_state(sorted(applied))
            own = {label for label, _ in applied}
            models = state.apps.get_models(include_auto_created=True)
            self._migrated = applied, _by_table(model for model in models if model._meta.app_label in own)
        return self._migrated[1]

    # --- Django's methods

    def get_table_list(self, cursor: Any) -> list[TableInfo]:
        return [TableInfo(name, "t") for name in cursor.collections() if not is_internal(name)]

    def get_table_description(self, cursor: Any, table_name: str) -> list[FieldInfo]:
        """The stored columns. `type_code` is the name of a field class."""
        return [_description(field) for field in _columns(self.model_of(table_name))]

    def get_relations(self, cursor: Any, table_name: str) -> dict[str, tuple[Any, ...]]:
        """The foreign keys of the model, which Firestore does not enforce."""
        action = (None,) if django.VERSION >= (6, 1) else ()  # of the database, on deletion
        return {
            field.column: (field.target_field.column, field.target_field.model._meta.db_table, *action)
            for field in _columns(self.model_of(table_name))
            if field.remote_field
        }

    def get_constraints(self, cursor: Any, table_name: str) -> dict[str, Any]:
        """The primary key, the constraints that the engine enforces, and the indexes of the model.

        Firestore's own indexes have no names: see `manage.py firestore_indexes`.
        """
        model = self.model_of(table_name)
        if model is None:
            return {}
        keys = {
            key.name: _constraint(
                [field.column for field in key.fields],
                unique=not isinstance(key, Check),
                check=isinstance(key, Check),
                index=not isinstance(key, Check),
            )
            for key in (*unique_keys(model), *checks(model))
        }
        pk = self.get_primary_key_columns(cursor, table_name)
        primary = {"__primary__": _constraint(pk, primary_key=True, unique=True)} if pk else {}
        return primary | keys | dict(self._indexes(model))

    def _indexes(self, model: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        editor: Any = self.connection.SchemaEditorClass(self.connection)
        name = editor._create_index_name
        meta = model._meta
        for field in _columns(model):
            if field.db_index and not field.unique:
                yield name(meta.db_table, [field.column]), _constraint([field.column], index=True)
        for index in meta.indexes:
            columns = [meta.get_field(field).column for field, _ in index.fields_orders]
            orders = [order or "ASC" for _, order in index.fields_orders]
            yield index.name, {**_constraint(columns, index=True), "orders": orders}

    def get_primary_key_columns(self, cursor: Any, table_name: str) -> list[str]:
        model = self.model_of(table_name)
        if model is None:
            return []
        fields: Sequence[Any] = getattr(model._meta, "pk_fields", None) or [model._meta.pk]
        return [str(field.column) for field in fields]

    def get_sequences(self, cursor: Any, table_name: str, table_fields: Any = ()) -> list[Any]:
        return []


def _by_table(models: Iterable[Any]) -> dict[str, Any]:
    """Models by table, without proxies. If several share a table, the first one describes it."""
    made: dict[str, Any] = {}
    for model in models:
        if not model._meta.proxy:
            made.setdefault(model._meta.db_table, model)
    return made


def _columns(model: Any) -> list[Any]:
    """The fields of a model's own table that have a column."""
    return [] if model is None else [field for field in model._meta.local_concrete_fields if field.column is not None]


def _description(field: Any) -> FieldInfo:
    stored = field
    while stored.remote_field:
        stored = stored.target_field
    kind = stored.get_internal_type()
    made: Any = FieldInfo  # django-stubs do not allow the None that Django uses
    described: FieldInfo = made(
        name=field.column,
        type_code=kind if stored is field else STORED_AS.get(kind, kind),
        display_size=stored.max_length,
        internal_size=stored.max_length,
        precision=getattr(stored, "max_digits", None),
        scale=getattr(stored, "decimal_places", None),
        null_ok=field.null,
        default=None,
        collation=getattr(stored, "db_collation", None),
    )
    return described


def _constraint(columns: Sequence[Any], **flags: bool) -> dict[str, Any]:
    """An entry of `get_constraints()`. Flags that are not given are False."""
    return {
        "columns": list(columns),
        "orders": ["ASC" for _ in columns],
        "primary_key": False,
        "unique": False,
        "foreign_key": None,
        "check": False,
        "index": False,
        "type": None,
        **flags,
    }
