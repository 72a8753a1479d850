"""Models whose indexes are derived; none of them has a table."""

from __future__ import annotations

from typing import Any

from django.db import models


class VectorField(models.Field):  # type: ignore[type-arg]
    """As the app's own, as far as indexes go."""

    def __init__(self, *args: Any, dimension: int | None = None, **kwargs: Any) -> None:
        self.dimension = dimension
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        return "VectorField"


class Item(models.Model):
    """The shape of the app's memory items."""

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
    """A list of texts, as the app's own."""

    is_array = True


class ModelVectorField(VectorField):
    """A vector that is searched among those of one model; its dimension is the model's."""

    searched_with = ("made_by",)
    index_dimension = 7


class Sheet(models.Model):
    """What is searched for words and for meaning."""

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
    """Nothing but what Firestore indexes by itself."""

    name = models.CharField(max_length=50)

    class Meta:
        app_label = "engine"
        indexes = (models.Index(fields=["name"], name="plain_1"),)

    def __str__(self) -> str:
        return self.name
