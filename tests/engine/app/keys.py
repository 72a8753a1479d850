"""One model for each kind of primary key, each with a row that refers to it."""

from __future__ import annotations

from typing import Any

from django.db import models

FIELDS = {
    "text": models.TextField(primary_key=True),
    "float": models.FloatField(primary_key=True),
    "decimal": models.DecimalField(primary_key=True, max_digits=12, decimal_places=3),
    "date": models.DateField(primary_key=True),
    "time": models.TimeField(primary_key=True),
    "datetime": models.DateTimeField(primary_key=True),
    "boolean": models.BooleanField(primary_key=True),
    "duration": models.DurationField(primary_key=True),
    "binary": models.BinaryField(primary_key=True),
}


def _model(name: str, **members: Any) -> Any:
    meta = type("Meta", (), {"app_label": "engine"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **members})


KEYED: dict[str, Any] = {
    kind: _model(
        f"Keyed{kind.title()}",
        key=field,
        number=models.IntegerField(default=0),
        code=models.IntegerField(null=True, unique=True),
    )
    for kind, field in FIELDS.items()
}
REFERRING: dict[str, Any] = {
    kind: _model(f"Referring{kind.title()}", to=models.ForeignKey(model, models.CASCADE))
    for kind, model in KEYED.items()
}


class Placement(models.Model):
    """Keyed by two columns, one of them text."""

    pk = models.CompositePrimaryKey("hall", "number")
    hall = models.CharField(max_length=50)
    number = models.IntegerField()
    guest = models.CharField(max_length=20, default="")
    code = models.IntegerField(null=True, unique=True)

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return f"{self.hall} {self.number}"


class Reservation(models.Model):
    """Refers to a placement by both columns of its key."""

    id = models.CharField(primary_key=True, max_length=20)
    hall = models.CharField(max_length=50)
    number = models.IntegerField()
    placement = models.ForeignObject(
        Placement,
        models.CASCADE,
        from_fields=["hall", "number"],
        to_fields=["hall", "number"],
        related_name="reservations",
    )

    class Meta:
        app_label = "engine"

    def __str__(self) -> str:
        return self.id
