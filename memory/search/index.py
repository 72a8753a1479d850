"""Search as the models' `TextIndex`: `apps.py` installs it when Django starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections, transaction

from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.text_index import Newest

from . import indexing, recall
from .later import embed_later


class SearchIndex:
    """`memory.text_index.TextIndex` by terms and vectors; see there for the methods."""

    def prepare(self, items: Sequence[MemoryItem]) -> None:
        """Terms, and what made them."""
        indexing.prepare(items)

    def reserved_values(self, item: MemoryItem) -> Mapping[str, Any]:
        """The size of the vector that an item waits for."""
        return indexing.reserved_values(item)

    def embed(self, items: Sequence[MemoryItem], using: str) -> None:
        """Vectors of the texts without their context; the final ones on SQLite, where a write locks the database.

        With the conversation cache it is left to the write, which has the turns before from the cache.
        """
        if connections[using].vendor == "sqlite" and not MemoryItem.is_cached(using):
            indexing.add_vectors(items, using, final=False)
        else:
            indexing.embed_texts(items)

    def add_vectors(self, items: Sequence[MemoryItem], using: str, newest: Newest) -> None:
        """Vectors of a local embedder."""
        indexing.add_vectors(items, using, newest)

    def written(self, items: Sequence[MemoryItem], using: str) -> None:
        """Vectors of a remote embedder are made after the commit."""
        if ids := [item.pk for item in indexing.pending(items)]:
            # Robust: an embedder's error must not reach a caller whose write was committed.
            transaction.on_commit(lambda: embed_later(ids, using), using=using, robust=True)

    def search(self, items: MemoryItemQuerySet, query: str, limit: int, explain: bool) -> list[MemoryItem]:
        """One user's items, ranked."""
        return recall.search(items, query, limit, explain)
