"""System checks for models with features that Firestore or this engine does not support."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core import checks
from django.db import router
from django.db.backends.base.validation import BaseDatabaseValidation

from .constraints.definitions import checks as check_constraints
from .constraints.definitions import unique_keys
from .constraints.evaluate import unsupported_reason
from .values.document_ids import document_id_problem


class DatabaseValidation(BaseDatabaseValidation):
    """Checks models that are routed to Firestore (`check --database`)."""

    connection: Any

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Errors for invalid collection names and constraints that cannot be enforced."""
        alias = self.connection.alias
        models = [one for one in apps.get_models(include_auto_created=True) if router.allow_migrate_model(alias, one)]
        real = [model for model in models if not model._meta.proxy]
        return [
            message for model in real for message in (*self.check_collection(model), *self.check_constraints(model))
        ]

    def check_collection(self, model: Any) -> list[checks.CheckMessage]:
        """An error for a `db_table` that is not a valid collection name."""
        name = model._meta.db_table
        if document_id_problem(name):
            return [
                checks.Error(
                    f"{name!r} is not a valid name for a Firestore collection.",
                    hint="Set a db_table without slashes that does not begin and end with two underscores.",
                    obj=model,
                    id="firestore.E003",
                )
            ]
        return []

    def check_constraints(self, model: Any) -> list[checks.CheckMessage]:
        """Errors for a model's constraints that cannot be enforced."""
        keys = (*unique_keys(model), *check_constraints(model))
        reasons = ((key, unsupported_reason(self.connection, key)) for key in keys)
        return [
            checks.Error(
                f"The constraint {key.name!r} cannot be enforced on Firestore: {reason}.",
                hint="Change it to depend only on the row's own columns, or remove it.",
                obj=model,
                id="firestore.E002",
            )
            for key, reason in reasons
            if reason
        ]

    def check_field_type(self, field: Any, field_type: str) -> list[checks.CheckMessage]:
        """Errors for a field whose type cannot be a primary key."""
        messages: list[checks.CheckMessage] = []
        if field.primary_key and field.get_internal_type() == "JSONField":
            messages.append(
                checks.Error(
                    f"A {field.get_internal_type()} cannot be a primary key on Firestore.",
                    hint="Use a text, an integer or a UUID.",
                    obj=field,
                    id="firestore.E001",
                )
            )
        return messages
