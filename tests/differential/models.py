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
    """Unique constraints of every kind that SQLite has, too; `room_slot` it gets from the test."""

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
