"""System checks: what a model asks of its database that Firestore, or this engine, cannot keep."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.db.backends.base.validation import BaseDatabaseValidation


class DatabaseValidation(BaseDatabaseValidation):
    """Checks fields of models that are routed to Firestore (`check --database`)."""

    def check_field_type(self, field: Any, field_type: str) -> list[checks.CheckMessage]:
        """Warnings for one field."""
        messages: list[checks.CheckMessage] = []
        if field.unique and not field.primary_key:
            messages.append(
                checks.Warning(
                    f"{field.name!r} is looked up before a write; two writers at the same moment could both pass.",
                    hint="Make it the primary key if that must never happen.",
                    obj=field,
                    id="firestore.W001",
                )
            )
        if field.primary_key and field.get_internal_type() in ("FloatField", "BinaryField", "JSONField"):
            messages.append(
                checks.Error(
                    f"A {field.get_internal_type()} cannot be a primary key on Firestore.",
                    hint="Use a text, an integer or a UUID.",
                    obj=field,
                    id="firestore.E001",
                )
            )
        return messages
