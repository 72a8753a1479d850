"""Names of the engine's own collections: the markers of unique constraints, and the counters of ids."""

from __future__ import annotations

from typing import Final

SUFFIX: Final = ":unique"

SEQUENCES: Final = "django:sequences"
"""The collection of the counters of ids (`rpc/sequences.py`)."""


def marker_collection(table: str) -> str:
    """The collection of a table's markers."""
    return table + SUFFIX


def holds_markers(collection: str) -> bool:
    """Whether a collection contains markers."""
    return collection.endswith(SUFFIX)


def is_internal(collection: str) -> bool:
    """Whether a collection is the engine's own, and so no table."""
    return collection == SEQUENCES or holds_markers(collection)
