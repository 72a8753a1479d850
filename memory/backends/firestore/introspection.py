"""Introspection: the ids of a database's collections. Firestore has no schema."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.backends.base.introspection import BaseDatabaseIntrospection, FieldInfo, TableInfo

from .constraints.definitions import Check, checks, unique_keys
from .values.marker_collections import holds_markers


class DatabaseIntrospection(BaseDatabaseIntrospection):
    """Lists collections without those of markers. In Firestore, a collection without documents does not exist."""

    def get_table_list(self, cursor: Any) -> list[TableInfo]:
        return [TableInfo(name, "t") for name in cursor.collections() if not holds_markers(name)]

    def get_table_description(self, cursor: Any, table_name: str) -> list[FieldInfo]:
        return []

    def get_relations(self, cursor: Any, table_name: str) -> dict[str, tuple[Any, ...]]:
        """Always empty: Firestore has no foreign keys. So the tuples of Django 5.2 and 6.1 need no distinction."""
        return {}

    def get_constraints(self, cursor: Any, table_name: str) -> dict[str, Any]:
        """The constraints that the engine enforces, from the models. Firestore has no constraints."""
        models = (model for model in apps.get_models(include_auto_created=True) if model._meta.db_table == table_name)
        return {
            key.name: {
                "columns": [field.column for field in key.fields],
                "orders": ["ASC" for _ in key.fields],
                "primary_key": False,
                "unique": not isinstance(key, Check),
                "foreign_key": None,
                "check": isinstance(key, Check),
                "index": not isinstance(key, Check),
                "type": None,
            }
            for model in models
            for key in (*unique_keys(model), *checks(model))
        }

    def get_primary_key_columns(self, cursor: Any, table_name: str) -> list[str]:
        return []

    def get_sequences(self, cursor: Any, table_name: str, table_fields: Any = ()) -> list[Any]:
        return []
