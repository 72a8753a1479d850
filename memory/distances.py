"""Distances between vectors as ORM expressions, by pgvector's conventions: smaller is nearer.

    MemoryItem.objects.annotate(distance=CosineDistance("embedding", query)).order_by("distance")[:5]

On SQLite numpy computes them. Engines with vector search recognise them by `measure`. The distance is NULL for a
missing vector, for a vector of another dimension than the query's, and for the cosine of a zero vector.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, FloatField, Func, Value
from django.db.models.sql.compiler import SQLCompiler

from memory.backends.clock import real_time

from .fields import COMPACT, WRITE_TIME, VectorField

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float64]
else:
    Vector = Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class VectorDistance(Func):
    """The distance between a `VectorField` and a query vector; `measure` is Firestore's name for it."""

    arity = 2
    measure: ClassVar[str]

    def __init__(self, expression: str | Expression, vector: Sequence[float] | Expression, **extra: Any) -> None:
        if not hasattr(vector, "resolve_expression"):
            vector = Value(VectorField().to_python(vector), output_field=VectorField())
        super().__init__(expression, vector, output_field=FloatField(), **extra)

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:  # type: ignore[override]
        if connection.vendor != "sqlite":
            raise NotSupportedError(
                f"{type(self).__name__} is not supported on {connection.display_name}: "
                "keep the app's models on SQLite or Firestore, or compare the vectors in Python."
            )
        return super().as_sql(compiler, connection, **extra)


class CosineDistance(VectorDistance):
    """1 - cosine similarity: 0 (same direction) to 2 (opposite)."""

    function = "memory_cosine_distance"
    measure = "cosine"


class L2Distance(VectorDistance):
    """Euclidean distance."""

    function = "memory_l2_distance"
    measure = "euclidean"


class MaxInnerProduct(VectorDistance):
    """The negated inner product, so that the largest product comes first."""

    function = "memory_max_inner_product"
    measure = "dot_product"


def _cosine(one: Vector, other: Vector) -> float | None:
    import numpy as np  # slow to import, and not used without vectors

    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1.0 - float(one @ other) / norms if norms else None


def _l2(one: Vector, other: Vector) -> float:
    import numpy as np  # slow to import, and not used without vectors

    return float(np.linalg.norm(one - other))


def _inner(one: Vector, other: Vector) -> float:
    return -float(one @ other)


FUNCTIONS: dict[str, Callable[[Vector, Vector], float | None]] = {
    "memory_cosine_distance": _cosine,
    "memory_l2_distance": _l2,
    "memory_max_inner_product": _inner,
}


def _on_packed(distance: Callable[[Vector, Vector], float | None]) -> Callable[[Any, Any], float | None]:
    def compare(one: bytes | None, other: bytes | None) -> float | None:
        if one is None or other is None:
            return None
        first, second = _unpacked(one), _unpacked(other)
        return distance(first, second) if len(first) == len(second) else None

    return compare


def _unpacked(packed: bytes) -> Vector:
    import numpy as np  # slow to import, and not used without vectors

    if len(packed) % 8 == 0:
        return np.frombuffer(packed, "<f8")
    return np.frombuffer(packed, "<f4", offset=len(COMPACT)).astype(np.float64)


def register_functions(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Receiver of `connection_created`: register the functions with a connection to SQLite."""
    if connection.vendor == "sqlite":
        for name, distance in FUNCTIONS.items():
            connection.connection.create_function(name, 2, _on_packed(distance), deterministic=True)
        connection.connection.create_function(WRITE_TIME, 0, _write_time)


_last = 0
_lock = threading.Lock()


def _write_time() -> str:
    """The time as SQLite stores it. Rows of this process have different times, in the order of their writes."""
    global _last
    with _lock:
        _last = max(_last + 1, int(real_time() * 1_000_000))
        moment = _last
    return f"{EPOCH + timedelta(microseconds=moment):%Y-%m-%d %H:%M:%S.%f}"
