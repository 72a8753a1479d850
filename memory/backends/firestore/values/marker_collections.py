"""The collections that hold markers of unique constraints (`constraints/`): their names."""

from __future__ import annotations

from typing import Final

SUFFIX: Final = ":unique"


def marker_collection(table: str) -> str:
    """The collection of a table's markers."""
    return table + SUFFIX


def holds_markers(collection: str) -> bool:
    """Whether a collection holds markers, so that it is no table."""
    return collection.endswith(SUFFIX)
