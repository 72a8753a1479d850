"""Items of a store in the database: memory items of the type `store`, whose sessions are their namespaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import Any

from django.db import IntegrityError, connections
from django.utils import timezone

from memory.adapters.subtrees import below, in_order, is_current, ranked, sessions
from memory.batches import ROWS_AT_ONCE, batches
from memory.contention import in_transaction, retried_on_contention, write_transaction
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed

from .filters import matches
from .namespaces import Namespace, item_id, namespace_of, session_of

ITEM_TYPE = "store"
WRITTEN = ("text_content", "metadata", "expiration")
"""Fields that a put of an existing item changes; the time of creation stays."""

Name = tuple[Namespace, str]


@dataclass(frozen=True)
class Stored:
    """An item as it is stored. `ttl` is in minutes; `score` is None unless it was found by a query."""

    id: str
    namespace: Namespace
    key: str
    value: dict[str, Any]
    created: datetime
    updated: datetime
    ttl: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Put:
    """An item to write. Without a value it is deleted."""

    namespace: Namespace
    key: str
    value: Mapping[str, Any] | None
    text: str | None = None
    ttl: float | None = None


@dataclass(frozen=True)
class Search:
    """What to look for below a namespace: items with these values, by a query if there is one."""

    prefix: Namespace
    filter: Mapping[str, Any] | None
    limit: int
    offset: int
    query: str | None

    def passes(self, item: Stored) -> bool:
        """Whether an item has the wanted values."""
        return matches(item.value, self.filter)


@dataclass(frozen=True)
class Items:
    """The items of one user in one database."""

    alias: str
    user_id: str

    def write(self, puts: Collection[Put]) -> None:
        """Write and delete items, all or none up to the limits of a transaction."""
        kept = [self._row(put) for put in puts if put.value is not None]
        gone = [item_id(self.user_id, put.namespace, put.key) for put in puts if put.value is None]
        if kept and not gone and not in_transaction(connections[self.alias]):
            try:  # most keys are new: on Firestore a creation reads nothing
                MemoryItem.all_objects.using(self.alias).bulk_create(kept)
            except IntegrityError:
                self._write(kept, gone)
        elif kept and gone:
            keys = [*gone, *(row.pk for row in kept)]
            retried_on_contention(partial(self._write_together, kept, gone), using=self.alias, keys=keys)
        else:
            self._write(kept, gone)

    def _write_together(self, kept: list[MemoryItem], gone: Sequence[str]) -> None:
        with write_transaction(self.alias):
            self._write(kept, gone)

    def _write(self, kept: list[MemoryItem], gone: Sequence[str]) -> None:
        everything = MemoryItem.all_objects.using(self.alias)
        if kept:
            everything.bulk_create(kept, update_conflicts=True, update_fields=WRITTEN, unique_fields=["id"])
        for batch in batches(list(gone), ROWS_AT_ONCE):
            everything.filter(pk__in=batch).delete()

    def _row(self, put: Put) -> MemoryItem:
        now = timezone.now()
        ttl = {} if put.ttl is None else {"ttl": put.ttl}
        return MemoryItem(
            id=item_id(self.user_id, put.namespace, put.key),
            user_id=self.user_id,
            session_id=session_of(put.namespace),
            item_type=ITEM_TYPE,
            text_content=put.text,
            timestamp=now,
            metadata={
                "namespace": list(put.namespace),
                "key": put.key,
                "value": dict(put.value or {}),
                "updated_at": now.isoformat(),
                **ttl,
            },
            expiration=expiration(now, put.ttl),
        )

    def get(self, names: Iterable[Name]) -> dict[Name, Stored]:
        """The live items with these namespaces and keys."""
        ids = {item_id(self.user_id, *name): name for name in names}
        found = MemoryItem.all_objects.using(self.alias).without_search_data().in_bulk(list(ids))
        return {(item.namespace, item.key): item for item in map(stored, filter(is_live, found.values()))}

    def refresh(self, items: Iterable[Stored]) -> None:
        """Let the items that have a TTL live that long from now on."""
        ids: dict[float, list[str]] = {}
        for item in items:
            if item.ttl is not None:
                ids.setdefault(item.ttl, []).append(item.id)
        for ttl, of_ttl in ids.items():
            until = expiration(timezone.now(), ttl)
            MemoryItem.objects.using(self.alias).filter(pk__in=of_ttl).update(expiration=until)

    def search(self, search: Search) -> list[Stored]:
        """Items by rank, then, if these are too few, others in the order of namespaces and creation."""
        wanted = search.offset + search.limit
        if search.limit == 0:
            return []
        best = self._ranked(search, wanted) if search.query and search.query.strip() else []
        if len(best) < wanted:
            known = {item.id for item in best}
            others = (item for item in self._in_order(search, wanted) if item.id not in known)
            best += islice(others, wanted - len(best))
        return best[search.offset : wanted]

    def _ranked(self, search: Search, wanted: int) -> list[Stored]:
        found = ranked(
            below(self._items(), session_of(search.prefix)),
            search.query or "",
            wanted,
            partial(_passes, search) if search.filter else None,
            lambda: [item.id for item in self._in_order(search, 0)],
        )
        return [stored(item, score=item.score) for item in found if is_stored(item)]  # type: ignore[attr-defined]

    def _in_order(self, search: Search, count: int) -> Iterator[Stored]:
        """Live items in a namespace and all below it, which have the wanted values. Probably `count` are needed."""
        rows = in_order(below(self._items(MemoryItem.all_objects), session_of(search.prefix)))
        first = [] if search.filter else list(rows[:count])
        rest = streamed(rows[len(first) :]) if len(first) == count or search.filter else iter(())
        return filter(search.passes, map(stored, filter(is_live, chain(first, rest))))

    def _items(self, manager: Any = MemoryItem.objects) -> MemoryItemQuerySet:
        """The user's items. In order they are read with `all_objects` and `is_live()`."""
        items: MemoryItemQuerySet = manager.using(self.alias).for_user(self.user_id)
        return items

    def namespaces(self) -> list[Namespace]:
        """The namespaces with a live item, in order."""
        items = below(self._items(MemoryItem.all_objects), session_of(()))
        return sorted(map(namespace_of, sessions(items, ITEM_TYPE, is_live)))


def expiration(now: datetime, ttl: float | None) -> datetime | None:
    """When an item with this TTL in minutes expires."""
    return None if ttl is None else now + timedelta(minutes=ttl)


def is_live(item: MemoryItem) -> bool:
    """Whether it is an item of a store that has not expired."""
    return is_stored(item) and is_current(item)


def is_stored(item: MemoryItem) -> bool:
    """Whether it is an item of a store, and not some other item whose session looks like a namespace."""
    return item.item_type == ITEM_TYPE and "key" in item.metadata


def _passes(search: Search, item: MemoryItem) -> bool:
    return is_stored(item) and search.passes(stored(item))


def stored(item: MemoryItem, score: float | None = None) -> Stored:
    """The item of a row."""
    about = item.metadata
    return Stored(
        id=item.pk,
        namespace=tuple(about["namespace"]),
        key=about["key"],
        value=about["value"],
        created=item.timestamp,
        updated=datetime.fromisoformat(about["updated_at"]),
        ttl=about.get("ttl"),
        score=score,
    )
