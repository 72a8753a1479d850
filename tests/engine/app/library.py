"""Related models: forward and backward keys, chains, many-to-many, a parent in the same table, inheritance."""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class City(models.Model):
    """The end of a chain."""

    id = models.CharField(primary_key=True, max_length=20)
    country = models.CharField(max_length=20)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Tag(models.Model):
    """Of many books."""

    id = models.CharField(primary_key=True, max_length=20)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Remark(models.Model):
    """About anything whose key is an integer or a text."""

    text = models.CharField(max_length=20)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.CharField(max_length=50)
    about = GenericForeignKey()

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.text


class Writer(models.Model):
    """Of books; another writer may have taught them."""

    id = models.CharField(primary_key=True, max_length=20)
    city = models.ForeignKey(City, models.CASCADE)
    teacher = models.ForeignKey("self", models.CASCADE, null=True, related_name="pupils")

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Book(models.Model):
    """What the joins are about."""

    id = models.CharField(primary_key=True, max_length=20)
    writer = models.ForeignKey(Writer, models.CASCADE, related_name="books")
    editor = models.ForeignKey(Writer, models.CASCADE, null=True, related_name="edited")
    year = models.IntegerField()
    tags = models.ManyToManyField(Tag, related_name="books")
    remarks = GenericRelation(Remark)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Novel(Book):
    """A book whose columns are in two collections."""

    hero = models.CharField(max_length=20)

    class Meta:
        app_label = "engine"
