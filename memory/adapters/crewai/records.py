"""Records of CrewAI's memory in the database: memory items of the type `memory`, whose sessions are their scopes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import nlargest
from typing import Any, Final

import numpy as np
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord, ScopeInfo
from django.db import IntegrityError, connections
from pydantic_core import to_jsonable_python

from memory.adapters.subtrees import below, in_order, is_current, ranked, sessions
from memory.batches import ROWS_AT_ONCE, batches
from memory.contention import in_transaction, retried_on_contention, write_transaction
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.text_index import MOST_RESULTS

from .embedder import AppEmbedder
from .scopes import ROOT, child_of, item_id, path_of_scope, scope_of

FRAMEWORK: Final = "crewai"
ITEM_TYPE: Final = "memory"
APART: Final = {"content", "embedding"}
"""Fields of a record that columns of the item have."""
REPLACED: Final = ("session_id", "timestamp", "text_content", "metadata", "importance", "embedding")
VECTORS_AT_ONCE: Final = 100

Found = tuple[MemoryRecord, float]


@dataclass(frozen=True)
class Wanted:
    """Conditions on records: in the scope or below it, with any of the categories, all of the metadata, older than."""

    scope: str | None = None
    categories: Collection[str] | None = None
    metadata: Mapping[str, Any] | None = None
    ids: Collection[str] | None = None
    older_than: datetime | None = None

    @property
    def is_of_scope(self) -> bool:
        """Whether there is no condition but the scope."""
        return not (self.categories or self.metadata or self.older_than) and self.ids is None

    def passes(self, item: MemoryItem) -> bool:
        """Whether an item is a record that has not expired and meets the conditions; the scope is the query's."""
        if not is_record(item):
            return False
        form = item.metadata[FRAMEWORK]
        return (
            (self.ids is None or form["id"] in self.ids)
            and (not self.categories or not set(self.categories).isdisjoint(form["categories"]))
            and all(form["metadata"].get(key) == value for key, value in (self.metadata or {}).items())
            and (self.older_than is None or item.timestamp < _aware(self.older_than))
        )


@dataclass(frozen=True)
class Records:
    """The records of one user in one database."""

    alias: str
    user_id: str
    embedder: AppEmbedder

    def save(self, records: Iterable[MemoryRecord]) -> None:
        """Write records, all or none up to the limits of a transaction. One with a known id is replaced."""
        items = {item.pk: item for item in map(self._item, records)}
        if not in_transaction(connections[self.alias]):  # where an error would end it
            with suppress(IntegrityError):
                MemoryItem.all_objects.using(self.alias).bulk_create(list(items.values()))
                return
        for item in items.values():
            self._replace(item)

    def replace(self, record: MemoryRecord) -> None:
        """Write a record, new or not."""
        self._replace(self._item(record))

    def _replace(self, item: MemoryItem) -> None:
        MemoryItem.before_transaction([item], self.alias)
        retried_on_contention(partial(self._replace_one, item), using=self.alias, keys=[item.pk])

    def _replace_one(self, item: MemoryItem) -> None:
        rows = MemoryItem.all_objects.using(self.alias)
        with write_transaction(self.alias):
            stored = rows.select_for_update().filter(pk=item.pk).first()
            if stored is None:
                item.save(force_insert=True, using=self.alias)
                return
            for name in REPLACED:
                setattr(stored, name, getattr(item, name))
            stored.save(force_update=True, using=self.alias)

    def _item(self, record: MemoryRecord) -> MemoryItem:
        form = to_jsonable_python(record.model_dump(exclude=APART))
        vector = record.embedding or None
        return MemoryItem(
            id=item_id(self.user_id, record.id),
            user_id=self.user_id,
            session_id=path_of_scope(record.scope),
            item_type=ITEM_TYPE,
            text_content=record.content or None,
            timestamp=_aware(record.created_at),
            importance=record.importance,
            embedding=None if vector is None or self.embedder.text_of(vector) is not None else vector,
            metadata={"source": FRAMEWORK, FRAMEWORK: form},
        )

    def get(self, record_id: str) -> MemoryRecord | None:
        """The record with this id."""
        item = self._items().filter(pk=item_id(self.user_id, record_id)).first()
        return None if item is None or not is_record(item) else record_of(item)

    def delete(self, wanted: Wanted) -> int:
        """Delete the records that meet the conditions; return their number."""
        found = [item.pk for item in self._of(wanted)]
        everything = MemoryItem.all_objects.using(self.alias)
        counts = [everything.filter(pk__in=ids).delete()[1] for ids in batches(found, ROWS_AT_ONCE)]
        return sum(count.get(MemoryItem._meta.label, 0) for count in counts)

    def search(self, vector: Sequence[float], wanted: Wanted, limit: int, least: float) -> list[Found]:
        """The best records, with scores from `least` to 1.

        By words and meaning if the app's embedder made the vector, else by the vector.
        """
        if limit < 1 or not vector:
            return []
        text = self.embedder.text_of(vector)
        is_ranked = text is not None and bool(text.strip()) and limit <= MOST_RESULTS
        found = self._ranked(str(text), vector, wanted, limit) if is_ranked else self._nearest(vector, wanted, limit)
        return [(record, score) for record, score in found if score >= least]

    def _ranked(self, text: str, vector: Sequence[float], wanted: Wanted, limit: int) -> list[Found]:
        """The results of a search. A score is that of the search, or the cosine if that is larger."""
        items = below(MemoryItem.objects.using(self.alias).for_user(self.user_id), path_of_scope(wanted.scope))
        passes = None if wanted.is_of_scope else wanted.passes
        best = ranked(items, text, limit, passes, lambda: [item.pk for item in self._of(wanted)])
        best = [item for item in best if is_record(item)]
        near = _similarities(vector, self.embedder([item.text_content or "" for item in best]))
        found = [(record_of(item), max(item.score, score)) for item, score in zip(best, near, strict=True)]  # type: ignore[attr-defined]
        return sorted(found, key=_score, reverse=True)[:limit]

    def _nearest(self, vector: Sequence[float], wanted: Wanted, limit: int) -> list[Found]:
        """The records with the nearest vectors. All in the scope are read, a few at a time."""

        def scored() -> Iterator[Found]:
            for items in batches((item for item in self._of(wanted) if item.text_content), VECTORS_AT_ONCE):
                for item, score in zip(items, _similarities(vector, self._vectors(items)), strict=True):
                    yield record_of(item), score

        return nlargest(limit, scored(), key=_score)

    def _vectors(self, items: Sequence[MemoryItem]) -> list[Sequence[float]]:
        """The vectors of items. Those that the app's embedder makes are not stored."""
        unknown = [item.text_content or "" for item in items if item.embedding is None]
        made = iter(self.embedder(unknown) if unknown else ())
        return [next(made) if item.embedding is None else item.embedding for item in items]

    def newest(self, wanted: Wanted, count: int) -> list[MemoryRecord]:
        """The newest records, newest first."""
        return [record_of(item) for item in nlargest(count, self._of(wanted), key=lambda item: item.timestamp)]

    def count(self, scope: str | None) -> int:
        """The number of records in a scope."""
        return sum(1 for _ in self._of(Wanted(scope)))

    def categories(self, scope: str | None) -> dict[str, int]:
        """The categories in a scope, with their numbers of records."""
        return dict(
            Counter(category for item in self._of(Wanted(scope)) for category in item.metadata[FRAMEWORK]["categories"])
        )

    def info(self, scope: str) -> ScopeInfo:
        """What is in a scope."""
        records = sorted(
            (record_of(item) for item in self._of(Wanted(scope))), key=lambda record: _aware(record.created_at)
        )
        return ScopeInfo(
            path=scope_of(path_of_scope(scope)),
            record_count=len(records),
            categories=sorted({category for record in records for category in record.categories}),
            oldest_record=records[0].created_at if records else None,
            newest_record=records[-1].created_at if records else None,
            child_scopes=self.children(scope),
        )

    def children(self, scope: str | None) -> list[str]:
        """The scopes right below a scope. On Firestore one document is read for each scope at any depth."""
        parent = path_of_scope(scope)
        found = sessions(below(self._items(), parent), ITEM_TYPE, is_record)
        return sorted({child for path in found if (child := child_of(parent, path)) is not None})

    def _of(self, wanted: Wanted) -> Iterator[MemoryItem]:
        """The items of the records that meet the conditions, by scope and time."""
        items = below(self._items(), path_of_scope(wanted.scope))
        if wanted.ids is None:
            return filter(wanted.passes, streamed(in_order(items)))
        ids = [item_id(self.user_id, record_id) for record_id in wanted.ids]
        return filter(
            wanted.passes, (item for batch in batches(ids, ROWS_AT_ONCE) for item in items.filter(pk__in=batch))
        )

    def _items(self) -> MemoryItemQuerySet:
        """The user's items, also expired ones."""
        items: MemoryItemQuerySet = MemoryItem.all_objects.using(self.alias).for_user(self.user_id)
        return items


def is_record(item: MemoryItem) -> bool:
    """Whether it is a record of CrewAI's that has not expired."""
    form = item.metadata.get(FRAMEWORK)
    is_form = item.item_type == ITEM_TYPE and isinstance(form, dict) and "id" in form
    return is_form and str(item.session_id).startswith(ROOT) and is_current(item)


def record_of(item: MemoryItem) -> MemoryRecord:
    """The record of an item."""
    about = {"content": item.text_content or "", "embedding": item.embedding}
    record: MemoryRecord = MemoryRecord.model_validate({**item.metadata[FRAMEWORK], **about})
    return record


def _similarities(vector: Sequence[float], others: Sequence[Sequence[float]]) -> list[float]:
    """The cosines with these vectors, 0 for negative ones. Raises `EmbeddingDimensionMismatchError`."""
    for other in others:
        if len(other) != len(vector):
            raise EmbeddingDimensionMismatchError(len(other), len(vector))
    if not others:
        return []
    one, many = np.asarray(vector, np.float64), np.asarray(others, np.float64)
    lengths = np.linalg.norm(one) * np.linalg.norm(many, axis=1)
    found: list[float] = np.clip(
        np.divide(many @ one, lengths, out=np.zeros(len(many)), where=lengths > 0), 0, 1
    ).tolist()
    return found


def _score(found: Found) -> float:
    return found[1]


def _aware(time: datetime) -> datetime:
    """CrewAI's times have no zone: they are UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
