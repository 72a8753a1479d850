"""Introspection: the ids of a database's collections, and their tables as the applied migrations left them.

Firestore has no schema. Tables are described as this process's schema editors left them (`catalog.py`), or else by the
state of the applied migrations (`django_migrations`). Tables that no applied migration knows, such as those of apps
without migrations, are described by the installed models.
"""

from __future__ import annotations

from collections import ChainMap, namedtuple
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import django
from django.apps import apps
from django.db.backends.base.introspection import BaseDatabaseIntrospection, FieldInfo, TableInfo
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED, AutoField

from .catalog import Catalog, Described, describe
from .values.marker_collections import is_internal
from .values.types import FIELD_KINDS

Models = Mapping[str, Any]
"""Models by the name of their table."""

STORED_AS: Final[Mapping[str, str]] = {
    "AutoField": "IntegerField",
    "BigAutoField": "BigIntegerField",
    "SmallAutoField": "SmallIntegerField",
    "FileField": "CharField",
    "FilePathField": "CharField",
    "SlugField": "CharField",
}
"""The type of a column by that of its field, where these differ. `field_type` of a generated id stays its own."""

GENERATED_IDS: Final = frozenset({"AutoField", "BigAutoField", "SmallAutoField"})


Column: Final = namedtuple("Column", (*FieldInfo._fields, "field_type"))  # type: ignore[misc]
"""A column. `field_type` is the name of the field's class."""


class DatabaseIntrospection(BaseDatabaseIntrospection):
    """Lists tables without the engine's own collections, and describes them.

    In Firestore, a collection without documents does not exist: an empty table is known to the process that made it.
    """

    data_types_reverse = {name: name for name in FIELD_KINDS}

    connection: Any

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._given: dict[str, Any] = {}
        self._catalogs: dict[str, Catalog] = {}
        self._migrated: tuple[frozenset[Any], Models] = frozenset(), {}

    # --- the descriptions of tables

    @property
    def catalog(self) -> Catalog:
        """The tables that this connection's schema editors changed, in its present database."""
        return self._catalogs.setdefault(str(self.connection.settings_dict["NAME"]), Catalog())

    @contextmanager
    def described_by(self, model: Any) -> Iterator[None]:
        """Inside, the model describes its table: a schema editor knows the state between two operations."""
        before, self._given = self._given, {model._meta.db_table: model}
        try:
            yield
        finally:
            self._given = before

    def described(self, table: str) -> Described | None:
        """The description of a table; None if it is unknown."""
        if table in self.catalog.tables:
            return self.catalog.tables[table]
        model = self._given.get(table) or self.model_of(table)
        return None if model is None else describe(model)

    def is_known(self, table: str) -> bool:
        """Whether a table exists, with documents or without: by the schema editors or the applied migrations."""
        tables = self.catalog.tables
        return tables[table] is not None if table in tables else table in self.migrated_models()

    def model_of(self, table: str) -> Any:
        """The model of a table; None if it is unknown."""
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
        """The collections that have documents, and the tables that this process has made."""
        names = {name for name in cursor.collections() if not is_internal(name)}
        return [TableInfo(name, "t") for name in sorted(names.union(self.catalog.present()))]

    def get_table_description(self, cursor: Any, table_name: str) -> list[FieldInfo]:
        """The stored columns. `type_code` is the name of a field class, the same for keys and references to them."""
        found = self.described(table_name)
        if found is None:
            return []
        return [
            _description(column, field, self._stored(found, column), column in found.references, self._default(field))
            for column, field in found.fields.items()
        ]

    def _stored(self, described: Described, column: str) -> Any:
        """The field that a column takes its type from: a foreign key's is that of the other table, as it is now."""
        field = described.fields[column]
        while (to := described.references.get(column)) is not None:
            target = self.described(to[0])
            if target is None or to[1] not in target.fields:
                break
            described, column, field = target, to[1], target.fields[to[1]]
        return field

    def _default(self, field: Any) -> str | None:
        """The database default of a column, as SQLite's."""
        if field.db_default is NOT_PROVIDED:
            return None
        inner = self.connection.mirror.connection
        editor: Any = inner.SchemaEditorClass(inner)
        sql, _ = editor.db_default_sql(field)  # SQLite's has no parameters
        return str(sql).removeprefix("(").removesuffix(")")

    def get_field_type(self, data_type: Any, description: Any) -> str:
        return str(description.field_type)

    def get_relations(self, cursor: Any, table_name: str) -> dict[str, tuple[Any, ...]]:
        """The foreign keys, which Firestore does not enforce."""
        action = (None,) if django.VERSION >= (6, 1) else ()  # of the database, on deletion
        found = self.described(table_name)
        links = {} if found is None else found.references
        return {name: (column, table, *action) for name, (table, column) in links.items()}

    def get_constraints(self, cursor: Any, table_name: str) -> dict[str, Any]:
        """The primary key, the constraints that the engine enforces, and the indexes of the models.

        Firestore's own indexes have no names: see `manage.py firestore_indexes`.
        """
        found = self.described(table_name)
        editor: Any = self.connection.SchemaEditorClass(self.connection)
        return {} if found is None else found.constraints(editor._create_index_name)

    def get_primary_key_columns(self, cursor: Any, table_name: str) -> list[str]:
        found = self.described(table_name)
        return [] if found is None else list(found.key)

    def get_sequences(self, cursor: Any, table_name: str, table_fields: Any = ()) -> list[Any]:
        """The column whose values the engine generates."""
        found = self.described(table_name)
        if found is None:
            return []
        own = {name: one for name, one in found.fields.items() if name not in found.references}
        return [{"table": table_name, "column": name} for name, one in own.items() if isinstance(one, AutoField)]


def _by_table(models: Iterable[Any]) -> dict[str, Any]:
    """Models by table, without proxies. If several share a table, the first one describes it."""
    made: dict[str, Any] = {}
    for model in models:
        if not model._meta.proxy:
            made.setdefault(model._meta.db_table, model)
    return made


def _description(column: str, field: Any, stored: Any, is_link: bool, default: str | None) -> FieldInfo:
    kind = stored.get_internal_type()
    made: Any = Column  # django-stubs do not allow the None that Django uses
    described: FieldInfo = made(
        name=column,
        type_code=STORED_AS.get(kind, kind),
        display_size=stored.max_length,
        internal_size=stored.max_length,
        precision=getattr(stored, "max_digits", None),
        scale=getattr(stored, "decimal_places", None),
        null_ok=field.null,
        default=default,
        collation=str(getattr(stored, "db_collation", None) or "") or None,
        field_type=kind if not is_link and kind in GENERATED_IDS else STORED_AS.get(kind, kind),
    )
    return described
