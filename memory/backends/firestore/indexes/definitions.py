"""Entries of `indexes` in `firestore.indexes.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from ..query.plan import Op
from ..values.types import DOCUMENT_ID

Definition: TypeAlias = dict[str, Any]

ASCENDING: Final = "ASCENDING"
DESCENDING: Final = "DESCENDING"
NAME: Final = DOCUMENT_ID.path[0]
ARRAYS: Final = frozenset({Op.ARRAY_CONTAINS, Op.ARRAY_CONTAINS_ANY})


def definition(collection: str, fields: Iterable[dict[str, Any]]) -> Definition:
    """One entry of `indexes`."""
    return {"collectionGroup": collection, "queryScope": "COLLECTION", "fields": list(fields)}


def sorted_field(path: str, descending: bool = False) -> dict[str, Any]:
    """A field of a filter or sort key."""
    return {"fieldPath": path, "order": DESCENDING if descending else ASCENDING}


def vector_field(path: str, dimension: int) -> dict[str, Any]:
    """A vector field. Only vectors with this dimension are found."""
    return {"fieldPath": path, "vectorConfig": {"dimension": dimension, "flat": {}}}
