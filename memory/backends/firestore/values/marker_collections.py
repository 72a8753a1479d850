"""Names of the engine's own collections: markers of unique constraints, locks of rows, and counters of ids."""

from __future__ import annotations

from typing import Final

SUFFIX: Final = ":unique"

LEASES: Final = ":locks"

SEQUENCES: Final = "django:sequences"
"""The collection of the counters of ids (`rpc/sequences.py`)."""


def marker_collection(table: str) -> str:
    """The collection of a table's markers."""
    return table + SUFFIX


def lease_collection(table: str) -> str:
    """The collection of the locks of a table's rows (`transactions/leases.py`)."""
    return table + LEASES


def holds_markers(collection: str) -> bool:
    """Whether a collection contains markers."""
    return collection.endswith(SUFFIX)


def is_internal(collection: str) -> bool:
    """Whether a collection is the engine's own, and so no table."""
    return collection == SEQUENCES or collection.endswith((SUFFIX, LEASES))
