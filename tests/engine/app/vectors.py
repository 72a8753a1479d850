"""A vector field and distances such as an app would bring: the engine knows them by `db_type` and `measure` alone."""

from __future__ import annotations

import math
import struct
from typing import Any

from django.db.models import Field, FloatField, Func, Value


class VectorField(Field):  # type: ignore[type-arg]
    """A list of floats; packed on engines without vectors."""

    def get_internal_type(self) -> str:
        return "VectorField"

    def db_type(self, connection: Any) -> str:
        return str(connection.data_types.get("VectorField", "BLOB"))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        if hasattr(connection.ops, "adapt_vector"):
            return connection.ops.adapt_vector(value)
        return struct.pack(f"<{len(value)}d", *value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> list[float] | None:
        if isinstance(value, bytes):
            return list(struct.unpack(f"<{len(value) // 8}d", value))
        return value


class Distance(Func):
    """A distance to a constant vector."""

    measure = ""

    def __init__(self, name: str, vector: list[float], **extra: Any) -> None:
        if not hasattr(vector, "resolve_expression"):
            vector = Value(vector, output_field=VectorField())  # type: ignore[assignment]
        super().__init__(name, vector, output_field=FloatField(), **extra)


class Cosine(Distance):
    """1 - cosine similarity."""

    function = "test_cosine"
    measure = "cosine"


class Euclidean(Distance):
    """Straight-line distance."""

    function = "test_euclidean"
    measure = "euclidean"


class Product(Distance):
    """The negated inner product."""

    function = "test_product"
    measure = "dot_product"


def register(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`: the distances in SQLite."""
    if connection.vendor != "sqlite":
        return

    def unpacked(distance: Any) -> Any:
        def compare(one: bytes | None, other: bytes | None) -> float | None:
            if one is None or other is None:
                return None
            a, b = (struct.unpack(f"<{len(v) // 8}d", v) for v in (one, other))
            return float(distance(a, b))

        return compare

    def dot(a: Any, b: Any) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    functions = {
        "test_cosine": lambda a, b: 1 - dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)),
        "test_euclidean": math.dist,
        "test_product": lambda a, b: -dot(a, b),
    }
    for name, function in functions.items():
        connection.connection.create_function(name, 2, unpacked(function), deterministic=True)
