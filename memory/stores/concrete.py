"""The memory in a database with its conversations read through the cache: what staging and production use."""

from __future__ import annotations

from .firestore import FirestoreMemoryManager


class ConcreteMemoryManager(FirestoreMemoryManager):
    """A `FirestoreMemoryManager` that reads conversations through the cache, and without it where it is away."""
