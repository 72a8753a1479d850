"""Pending items: their vectors are not of the configured embedder. Finds and completes them.

An item waits for a vector if `embedding_model` is not the embedder's name. Vectors are computed without locks. They are
written only if text and model have not changed since, so concurrent writes and deletions are preserved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from django.db import OperationalError
from django.db.models import QuerySet

from memory import limits
from memory.conf import memory_settings
from memory.contention import retried, write_transaction
from memory.embedding import is_deferred, model_name
from memory.fields import WriteTime
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet

from .embedders import Embedder
from .texts import embed

logger = logging.getLogger(__name__)

ATTEMPTS = 3
STATE = ("content_hash", "embedding_model")
WRITTEN = ("text_embedding", "embedding_model", "written")


def waiting(items: MemoryItemQuerySet, embedder: Embedder | None) -> list[MemoryItemQuerySet]:
    """Disjoint querysets of the items that wait for a vector of `embedder`; none without one, or if it is deferred.

    Reads one row for each stored model.
    """
    if embedder is None or is_deferred(embedder):
        return []
    everything = items.model.all_objects.using(items.db)
    models = [value for value in values_of(everything, "embedding_model") if value != model_name(embedder)]
    return [items.filter(embedding_model=value) for value in models]


def waits(item: MemoryItem, embedder: Embedder | None) -> bool:
    """Whether an item waits for a vector."""
    return embedder is not None and not is_deferred(embedder) and item.embedding_model != model_name(embedder)


def values_of(items: MemoryItemQuerySet, field: str) -> Iterator[str]:
    """The distinct values of a field, in order. Firestore has no DISTINCT; each value costs one read."""
    rows = items.order_by(field).values_list(field, flat=True)
    value = rows.first()
    while value is not None:
        yield value
        value = rows.filter(**{f"{field}__gt": value}).first()


def batches(items: MemoryItemQuerySet, size: int) -> Iterator[list[MemoryItem]]:
    """The items in batches of `size`. Each batch is read after the one before it was completed and no longer matches.

    Unordered, since an order needs an index on Firestore. Stops when a batch has no new items.
    """
    rows = items.defer(None).order_by()[:size]
    seen: set[str] = set()
    found = list(rows.all())
    while not seen.issuperset(item.pk for item in found):
        yield found
        seen.update(item.pk for item in found)
        found = list(rows.all())


def complete(items: Sequence[MemoryItem], embedder: Embedder | None, using: str) -> int:
    """Compute and write what the items wait for. Returns the number of items written.

    Items that were changed or deleted since they were read are skipped; a change makes them pending again. Raises
    `EmbedderError` and errors of the database.
    """
    read = {item.pk: _state(item) for item in items}
    _fill(items, embedder)
    # An OperationalError is contention, or the database is not available.
    return retried(lambda: _write(items, read, using), OperationalError, ATTEMPTS)


def embed_now(ids: Sequence[str], using: str) -> int:
    """Complete the pending ones of these items. Returns their number. Raises `EmbedderError`."""
    embedder = memory_settings.embedder
    items = MemoryItem.all_objects.using(using).filter(pk__in=ids).defer(None)
    waiting = [item for item in items if waits(item, embedder)]
    return complete(waiting, embedder, using) if waiting else 0


def _state(item: MemoryItem) -> tuple[str, str]:
    return item.content_hash, item.embedding_model


def _fill(items: Sequence[MemoryItem], embedder: Embedder | None) -> None:
    if embedder is not None:
        vectors = embed(embedder, [item.text_content for item in items])
        for item, vector in zip(items, vectors, strict=True):
            item.text_embedding = vector.tolist() if vector.any() else None
            item.embedding_model = model_name(embedder)
    for item in items:
        _fit(item)


def _fit(item: MemoryItem) -> None:
    """Drop the vector of an item that would exceed the size of a document."""
    values = {field.name: field.value_from_object(item) for field in item._meta.concrete_fields}
    if limits.document_size(item._meta.db_table, item.pk, values) > limits.MAX_DOCUMENT_BYTES:
        logger.warning("Item %r is too large to store its vector, so search finds it less well.", item.pk)
        item.text_embedding = None


def _write(items: Sequence[MemoryItem], read: Mapping[str, tuple[str, str]], using: str) -> int:
    rows: QuerySet[MemoryItem] = QuerySet(type(items[0]), using=using)
    with write_transaction(using):
        now = rows.select_for_update().filter(pk__in=list(read)).only(*STATE)
        states = {row.pk: _state(row) for row in now}
        unchanged = [item for item in items if states.get(item.pk) == read[item.pk]]
        for item in unchanged:
            item.written = WriteTime()  # so the search index notices
        # An attempt whose outcome was lost may have written some of them.
        done = sum(states.get(item.pk) == _state(item) != read[item.pk] for item in items)
        return done + (rows.bulk_update(unchanged, WRITTEN) if unchanged else 0)
