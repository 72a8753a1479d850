"""The sources of a search's candidates: one module for each engine."""

from __future__ import annotations

from django.db import NotSupportedError, connections

from memory.search.candidates import Source

from .base import Memory
from .sqlite import SQLiteSource

__all__ = ["Memory", "source_for"]


def source_for(memory: Memory) -> Source:
    """The source for the database of the items. Raises `NotSupportedError` on other engines."""
    connection = connections[memory.items.db]
    if connection.vendor == "sqlite":
        return SQLiteSource(memory)
    if connection.vendor == "firestore":
        from .firestore import FirestoreSource  # slow to import: Google's client

        return FirestoreSource(memory)
    raise NotSupportedError(
        f"Search is not supported on {connection.display_name}: keep the app's models on SQLite or Firestore."
    )
