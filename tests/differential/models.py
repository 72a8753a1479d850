"""A model with a field of every type, beside the app's own models."""

from django.db import models
from django.db.models.functions import Lower


class Everything(models.Model):
    """Every Django field that a database keeps by itself, nullable, and a few that are not."""

    id = models.CharField(primary_key=True, max_length=50)
    number = models.IntegerField()
    name = models.CharField(max_length=50)
    moment = models.DateTimeField()
    truth = models.BooleanField(null=True)
    small = models.SmallIntegerField(null=True)
    big = models.BigIntegerField(null=True)
    real = models.FloatField(null=True)
    exact = models.DecimalField(null=True, max_digits=12, decimal_places=4)
    text = models.TextField(null=True)  # noqa: DJ001 - null and "" must both be kept apart
    day = models.DateField(null=True)
    instant = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    key = models.UUIDField(null=True)
    raw = models.BinaryField(null=True)
    address = models.GenericIPAddressField(null=True)
    data = models.JSONField(null=True)

    def __str__(self) -> str:
        return self.id


class Claim(models.Model):
    """Unique constraints of every kind, including those of SQLite only; the test adds `room_slot`."""

    id = models.CharField(primary_key=True, max_length=10)
    code = models.CharField(max_length=10, unique=True, null=True)  # noqa: DJ001 - nulls are distinct
    x = models.IntegerField()
    y = models.IntegerField(null=True)
    email = models.CharField(max_length=10)
    active = models.BooleanField()
    room = models.FloatField(null=True)
    slot = models.IntegerField(null=True)
    name = models.CharField(max_length=10, null=True)  # noqa: DJ001

    class Meta:
        unique_together = [("x", "y")]
        constraints = [
            models.UniqueConstraint(fields=["email"], condition=models.Q(active=True), name="active_email"),
            models.UniqueConstraint(fields=["room", "slot"], nulls_distinct=False, name="room_slot"),
            models.UniqueConstraint(Lower("name"), name="lower_name"),
        ]

    def __str__(self) -> str:
        return self.id


class Place(models.Model):
    """Where people live."""

    id = models.CharField(primary_key=True, max_length=10)
    country = models.CharField(max_length=10)

    def __str__(self) -> str:
        return self.id


class Person(models.Model):
    """Keys may reference missing rows: Firestore has no foreign key constraints, and SQLite's are disabled."""

    id = models.IntegerField(primary_key=True)
    home = models.ForeignKey(Place, models.DO_NOTHING, db_constraint=False)
    mentor = models.ForeignKey("self", models.DO_NOTHING, null=True, db_constraint=False, related_name="pupils")

    def __str__(self) -> str:
        return str(self.id)


class Label(models.Model):
    """Of many works."""

    id = models.CharField(primary_key=True, max_length=10)
    kind = models.IntegerField()

    def __str__(self) -> str:
        return self.id


class Work(models.Model):
    """What joins start from, or lead to."""

    id = models.CharField(primary_key=True, max_length=10)
    person = models.ForeignKey(Person, models.DO_NOTHING, db_constraint=False, related_name="works")
    editor = models.ForeignKey(Person, models.DO_NOTHING, null=True, db_constraint=False, related_name="edited")
    year = models.IntegerField()
    labels = models.ManyToManyField(Label, through="Labelling", related_name="works")

    def __str__(self) -> str:
        return self.id


class Labelling(models.Model):
    """A label of a work, once or more often."""

    id = models.IntegerField(primary_key=True)
    work = models.ForeignKey(Work, models.DO_NOTHING, db_constraint=False)
    label = models.ForeignKey(Label, models.DO_NOTHING, db_constraint=False)

    def __str__(self) -> str:
        return str(self.id)


class Coded(models.Model):
    """Columns with the collations of SQLite; the primary key and a unique column among them."""

    id = models.CharField(primary_key=True, max_length=10, db_collation="nocase")
    name = models.CharField(max_length=10, db_collation="nocase", null=True)  # noqa: DJ001
    code = models.CharField(max_length=10, db_collation="nocase", unique=True)
    tail = models.CharField(max_length=10, db_collation="rtrim")
    exact = models.CharField(max_length=10, db_collation="binary")
    number = models.IntegerField(default=0)
    other = models.ForeignKey("self", models.DO_NOTHING, null=True, db_constraint=False)

    def __str__(self) -> str:
        return self.id


class Entry(models.Model):
    """What a transaction's own rows are aggregated by; each subclass has a primary key of another type."""

    number = models.IntegerField(null=True)
    size = models.IntegerField()
    real = models.FloatField(null=True)
    name = models.CharField(max_length=10)
    truth = models.BooleanField(null=True)
    moment = models.DateTimeField(null=True)
    parent = models.ForeignKey("self", models.DO_NOTHING, null=True, db_constraint=False, related_name="children")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class Numbered(Entry):
    """With an integer for a key."""

    id = models.IntegerField(primary_key=True)


class Named(Entry):
    """With a text for a key."""

    id = models.CharField(primary_key=True, max_length=10)


class Identified(Entry):
    """With a UUID for a key."""

    id = models.UUIDField(primary_key=True)
