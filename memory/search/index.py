"""Search as the models' `TextIndex`: `apps.py` installs it when Django starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from memory import telemetry
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.text_index import Results, SearchOptions
from memory.usage import timed_searches

from . import indexing, recall
from .background import embed_later


class TextSearch:
    """`memory.text_index.TextIndex` by segments; see there for the methods."""

    def prepare(self, items: Sequence[MemoryItem]) -> None:
        """The hash of the text, and whether it needs a vector."""
        indexing.prepare(items)

    def reserved_values(self, item: MemoryItem) -> Mapping[str, Any]:
        """The size of the vector that an item waits for."""
        return indexing.reserved_values(item)

    def embed(self, items: Sequence[MemoryItem]) -> None:
        """Vectors of a local embedder, before the transaction."""
        indexing.add_vectors(items, final=False)

    def add_vectors(self, items: Sequence[MemoryItem]) -> None:
        """Vectors of a local embedder that are still missing."""
        indexing.add_vectors(items)

    def written(self, items: Sequence[MemoryItem], using: str) -> None:
        """Vectors of a remote embedder are made after the commit."""
        if ids := [item.pk for item in indexing.pending(items)]:
            # Robust: an embedder's error must not reach a caller whose write was committed.
            transaction.on_commit(lambda: embed_later(ids, using), using=using, robust=True)

    def search(self, items: MemoryItemQuerySet, queries: Sequence[str], options: SearchOptions) -> list[Results]:
        """One user's items, ranked for each query."""
        with timed_searches(len(queries)), telemetry.operation(telemetry.SEARCH, items.db, queries=queries) as outcome:
            found = recall.search(items, queries, options)
            outcome.found([item for results in found for item in results])
        return found
