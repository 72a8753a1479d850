"""Models whose indexes are derived. They have no tables."""

from __future__ import annotations

from typing import Any

from django.db import models


class VectorField(models.Field):  # type: ignore[type-arg]
    """A vector field like the app's, with respect to indexes."""

    def __init__(self, *args: Any, dimension: int | None = None, **kwargs: Any) -> None:
        self.dimension = dimension
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        return "VectorField"


class Item(models.Model):
    """A model like the app's memory items."""

    id = models.CharField(primary_key=True, max_length=50)
    user_id = models.CharField(max_length=50)
    kind = models.CharField(max_length=50)
    timestamp = models.DateTimeField()
    expiration = models.DateTimeField(null=True)
    embedding = VectorField(dimension=3)
    unsized = VectorField()

    class Meta:
        app_label = "engine"
        db_table = "items"
        indexes = (
            models.Index(fields=["user_id", "kind", "-timestamp"], name="items_1"),
            models.Index(fields=["-timestamp", "-id"], name="items_2"),
            models.Index(fields=["expiration"], name="items_3"),
            models.Index(models.F("kind"), name="items_4"),
        )

    def __str__(self) -> str:
        return self.id


class WordsField(models.JSONField):
    """A list of texts, like the app's."""

    is_array = True


class ModelVectorField(VectorField):
    """A vector that is searched among those of one embedding model, with its dimension."""

    searched_with = ("made_by",)
    index_dimension = 7


class Sheet(models.Model):
    """A model that is searched by words and by vectors."""

    id = models.CharField(primary_key=True, max_length=50)
    owner = models.CharField(max_length=50)
    kind = models.CharField(max_length=50)
    at = models.DateTimeField()
    made_by = models.CharField(max_length=50)
    words = WordsField()
    meaning = ModelVectorField()

    class Meta:
        app_label = "engine"
        db_table = "pages"
        indexes = (
            models.Index(fields=["owner", "-at"], name="pages_1"),
            models.Index(fields=["owner", "kind", "-at"], name="pages_2"),
            models.Index(fields=["owner", "kind", "at"], name="pages_3"),
        )

    def __str__(self) -> str:
        return self.id


class Plain(models.Model):
    """A model that needs only automatic indexes."""

    name = models.CharField(max_length=50)

    class Meta:
        app_label = "engine"
        indexes = (models.Index(fields=["name"], name="plain_1"),)

    def __str__(self) -> str:
        return self.name
