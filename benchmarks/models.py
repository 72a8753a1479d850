"""The measured model, with the fields of the app's memory items."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils import timezone


class VectorField(models.Field):  # type: ignore[type-arg]
    """A list of floats, passed to the engine unchanged."""

    def get_internal_type(self) -> str:
        return "VectorField"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value


def new_id() -> str:
    """A random id."""
    return uuid.uuid4().hex


class Item(models.Model):
    """A message."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id)
    user_id = models.CharField(max_length=100)
    session_id = models.CharField(max_length=100, default="")
    timestamp = models.DateTimeField(default=timezone.now)
    item_type = models.CharField(max_length=50, default="message")
    persona_active = models.CharField(max_length=100, default="")
    text_content = models.TextField(default="")
    metadata = models.JSONField(default=dict)
    expiration = models.DateTimeField(null=True)
    embedding = VectorField(null=True)

    class Meta:
        app_label = "benchmarks"
        db_table = "items"

    def __str__(self) -> str:
        return self.id
