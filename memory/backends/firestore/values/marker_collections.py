"""Names of the collections with the markers of unique constraints (`constraints/`)."""

from __future__ import annotations

from typing import Final

SUFFIX: Final = ":unique"


def marker_collection(table: str) -> str:
    """The collection of a table's markers."""
    return table + SUFFIX


def holds_markers(collection: str) -> bool:
    """Whether a collection contains markers."""
    return collection.endswith(SUFFIX)
