"""Where the candidates of a search come from: one module for each engine."""

from __future__ import annotations

from django.db import NotSupportedError, connections

from memory.search.candidates import Source

from .base import Memory

__all__ = ["Memory", "source_for"]


def source_for(memory: Memory) -> Source:
    """The source for the engine that the items are on. Raises `NotSupportedError` for an engine without one."""
    connection = connections[memory.items.db]
    if connection.vendor == "sqlite":
        from .sqlite import SQLiteSource

        return SQLiteSource(memory)
    if connection.vendor == "firestore":
        from .firestore import FirestoreSource

        return FirestoreSource(memory)
    raise NotSupportedError(
        f"Search is not known on {connection.display_name}: keep the app's models on SQLite or Firestore."
    )
