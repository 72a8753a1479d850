"""Small models, one for each thing that an engine has to get right."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import functions
from django.db.models.expressions import RawSQL

from .arrays import ArrayField
from .keys import KEYED, REFERRING, Placement, Reservation
from .library import Book, City, Novel, Remark, Tag, Writer
from .odd import Account, Coded, CodedPart, Detail, Nick
from .vectors import VectorField

__all__ = [
    "KEYED",
    "REFERRING",
    "Account",
    "Arrival",
    "Author",
    "Berth",
    "Book",
    "City",
    "Coded",
    "CodedPart",
    "Detail",
    "Everything",
    "Nick",
    "Note",
    "Novel",
    "Page",
    "Placement",
    "Point",
    "Rectangle",
    "Remark",
    "Reservation",
    "Tag",
    "Writer",
]


class Author(models.Model):
    """A parent."""

    name = models.CharField(max_length=50)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.name


class Extras(models.JSONField):
    """A map; documents that lack it have an empty one."""

    absent_value: ClassVar[dict[str, Any]] = {}

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return {} if value is None else super().from_db_value(value, expression, connection)


class Blocks(models.Field):  # type: ignore[type-arg]
    """JSON by a `JSONField` that the field holds, as fields of page builders do."""

    held = models.JSONField()

    def get_internal_type(self) -> str:
        return "JSONField"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return self.held.get_db_prep_value(value, connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return self.held.from_db_value(value, expression, connection)


class Story(models.Model):
    """A column of JSON whose field is no `JSONField`."""

    id = models.CharField(primary_key=True, max_length=100)
    body = Blocks(null=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Span(models.Model):
    """Bounds that `widen()` moves."""

    id = models.CharField(primary_key=True, max_length=100)
    owner = models.CharField(max_length=50)
    low = models.IntegerField()
    high = models.IntegerField()
    extras = Extras(default=dict)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Note(models.Model):
    """Keyed by text; most columns may be null."""

    id = models.CharField(primary_key=True, max_length=100)
    owner = models.CharField(max_length=50, default="ann")
    text = models.TextField(default="")
    stars = models.IntegerField(null=True)
    reads = models.IntegerField(default=0)
    at = models.DateTimeField(null=True)
    data = models.JSONField(null=True)
    author = models.ForeignKey(Author, models.CASCADE, null=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Everything(models.Model):
    """Every field type."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=1000, null=True)  # noqa: DJ001 - null is what is tested
    date = models.DateField(null=True)
    datetime = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(blank=True)
    file = models.FileField(blank=True)
    float = models.FloatField(null=True)
    ip = models.GenericIPAddressField(null=True)
    json = models.JSONField(null=True)
    positive = models.PositiveIntegerField(default=0)
    slug = models.SlugField(blank=True)
    small = models.SmallIntegerField(null=True)
    time = models.TimeField(null=True)
    url = models.URLField(blank=True)
    uuid = models.UUIDField(default=uuid.uuid4)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return str(self.pk)


class Point(models.Model):
    """A vector, and what a search for it is narrowed by."""

    id = models.CharField(primary_key=True, max_length=20)
    owner = models.CharField(max_length=20)
    kind = models.CharField(max_length=20, default="")
    until = models.DateTimeField(null=True)
    vector = VectorField(null=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Page(models.Model):
    """Words, and what a search for them is narrowed by."""

    id = models.CharField(primary_key=True, max_length=20)
    owner = models.CharField(max_length=20)
    number = models.IntegerField()
    words = ArrayField(default=list)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Rectangle(models.Model):
    """A column that the database computes, and one that it gives a default."""

    width = models.IntegerField()
    height = models.IntegerField(db_default=2)
    area = models.GeneratedField(
        expression=models.F("width") * models.F("height"), output_field=models.IntegerField(), db_persist=True
    )

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Seat(models.Model):
    """Every kind of unique constraint."""

    id = models.CharField(primary_key=True, max_length=20)
    code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001 - null is what is tested
    row = models.IntegerField(default=0)
    number = models.IntegerField(null=True)
    email = models.CharField(max_length=20, default="")
    active = models.BooleanField(default=False)
    room = models.FloatField(null=True)
    slot = models.IntegerField(null=True)
    name = models.CharField(max_length=20, null=True)  # noqa: DJ001
    twin = models.OneToOneField("self", models.SET_NULL, null=True)

    class Meta:
        app_label = "engine"
        unique_together = [("row", "number")]
        constraints = [
            models.UniqueConstraint(fields=["email"], condition=models.Q(active=True), name="active_email"),
            models.UniqueConstraint(fields=["room", "slot"], nulls_distinct=False, name="room_slot"),
            models.UniqueConstraint(functions.Lower("name"), name="lower_name"),
        ]

    def __str__(self) -> str:
        return self.id


class Arrival(models.Model):
    """A time that is given when the row is made, and never again."""

    who = models.CharField(max_length=20)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.who


class SparseNumber(models.IntegerField):
    """A number; documents that lack it have null."""

    sparse: ClassVar[bool] = True


class Berth(models.Model):
    """A row whose document may lack a column."""

    id = models.CharField(primary_key=True, max_length=20)
    place = models.IntegerField()
    length = SparseNumber(null=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id


class Stay(models.Model):
    """Checks over columns that may be written one without the other."""

    first = models.IntegerField()
    last = models.IntegerField(null=True)
    guest = models.CharField(max_length=20, default="")

    class Meta:
        app_label = "engine"
        constraints = [
            models.CheckConstraint(condition=models.Q(last__gte=models.F("first")), name="in_order"),
            models.CheckConstraint(condition=RawSQL("length(guest) < 10", (), models.BooleanField()), name="short"),
        ]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class Place(models.Model):
    """Unique columns in a parent's table and in its own."""

    name = models.CharField(max_length=20, unique=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.name


class Hall(Place):
    """A child with a table of its own."""

    code = models.CharField(max_length=20, unique=True)

    class Meta:
        app_label = "engine"
