"""Models whose names and types are unusual."""

from __future__ import annotations

from typing import Any

from django.db import models


class CodeField(models.CharField):
    """A text with a column type of its own."""

    def db_type(self, connection: Any) -> str:
        """A type that the engine does not know."""
        return "char(26)"


class Detail(models.Model):
    """Names with a space and quotes, SQL's words, SQLite's own, and upper case."""

    number = models.IntegerField(db_column="rowid")
    select = models.IntegerField(null=True, db_column="select")
    where = models.CharField(max_length=20, null=True, db_column="Where From")  # noqa: DJ001 - null is tested
    parent = models.ForeignKey("self", models.CASCADE, null=True, db_column="GROUP", related_name="parts")

    class Meta:
        app_label = "engine"
        db_table = "Order details"

    def __str__(self) -> str:
        return str(self.number)


class Coded(models.Model):
    """A key and a column whose type the engine does not know."""

    code = CodeField(max_length=26, primary_key=True)
    label = CodeField(max_length=26, default="")

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.code


class CodedPart(models.Model):
    """Of a model with such a key."""

    coded = models.ForeignKey(Coded, models.CASCADE, related_name="parts")

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return str(self.pk)


class Account(models.Model):
    """Compared without regard to case."""

    login = models.CharField(max_length=20, unique=True, db_collation="nocase")
    name = models.CharField(max_length=20, default="", db_collation="NOCASE")
    code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001 - nulls are distinct
    number = models.IntegerField(default=0)
    double = models.GeneratedField(
        expression=models.F("number") * 2, output_field=models.IntegerField(), db_persist=True
    )

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.login


class Nick(models.Model):
    """A primary key that is compared without regard to case."""

    id = models.CharField(max_length=20, primary_key=True, db_collation="nocase")
    rank = models.IntegerField(default=0)
    friend = models.ForeignKey("self", models.CASCADE, null=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id
