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

from memory.adapters.paths import end_of
from memory.backends.firestore.values.batching import batches
from memory.batches import ROWS_AT_ONCE
from memory.contention import in_transaction, retried_on_contention, write_transaction
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.text_index import MOST_CHARACTERS, MOST_RESULTS

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
            retried_on_contention(partial(self._write_together, kept, gone), using=self.alias)
        else:
            self._write(kept, gone)

    def _write_together(self, kept: list[MemoryItem], gone: Sequence[str]) -> None:
        with write_transaction(self.alias):
            self._write(kept, gone)

    def _write(self, kept: list[MemoryItem], gone: Sequence[str]) -> None:
        everything = MemoryItem.all_objects.using(self.alias)
        if kept:
            everything.bulk_create(kept, update_conflicts=True, update_fields=WRITTEN, unique_fields=["id"])
        for some in batches(list(gone), ROWS_AT_ONCE):
            everything.filter(pk__in=some).delete()

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
        return {(one.namespace, one.key): one for one in map(stored, filter(is_live, found.values()))}

    def refresh(self, items: Iterable[Stored]) -> None:
        """Let the items that have a TTL live that long from now on."""
        ids: dict[float, list[str]] = {}
        for item in items:
            if item.ttl is not None:
                ids.setdefault(item.ttl, []).append(item.id)
        for ttl, some in ids.items():
            until = expiration(timezone.now(), ttl)
            MemoryItem.objects.using(self.alias).filter(pk__in=some).update(expiration=until)

    def search(self, search: Search) -> list[Stored]:
        """Items by rank, then, if these are too few, others in the order of namespaces and creation."""
        wanted = search.offset + search.limit
        if search.limit == 0:
            return []
        ranked = self._ranked(search, wanted) if search.query and search.query.strip() else []
        if len(ranked) < wanted:
            known = {item.id for item in ranked}
            others = (item for item in self._in_order(search, wanted) if item.id not in known)
            ranked += islice(others, wanted - len(ranked))
        return ranked[search.offset : wanted]

    def _ranked(self, search: Search, wanted: int) -> list[Stored]:
        items = self._below(search.prefix)
        most = MOST_RESULTS if search.filter else min(wanted, MOST_RESULTS)
        found = self._found(items, search, most)
        passing = [item for item in found if search.passes(item)]
        if len(passing) >= wanted or len(passing) == len(found) or len(found) < most:
            return passing
        # More may pass than the best of all: rank those that do.
        ids = [item.id for item in self._in_order(search, 0)]
        return self._found(items.filter(pk__in=ids), search, min(wanted, MOST_RESULTS)) if ids else []

    def _found(self, items: MemoryItemQuerySet, search: Search, most: int) -> list[Stored]:
        """The best items, each followed by the others with its text, which a search returns once."""
        found = items.search((search.query or "")[:MOST_CHARACTERS], limit=most)
        same = [pk for item in found for pk in item.same]  # type: ignore[attr-defined]
        others = {item.pk: item for some in batches(same, ROWS_AT_ONCE) for item in items.filter(pk__in=some)}
        return [
            stored(one, score=item.score)  # type: ignore[attr-defined]
            for item in found
            for one in (item, *(others[pk] for pk in item.same if pk in others))  # type: ignore[attr-defined]
            if is_stored(one)
        ]

    def _in_order(self, search: Search, count: int) -> Iterator[Stored]:
        """Live items in a namespace and all below it, which have the wanted values. Probably `count` are needed."""
        rows = self._below(search.prefix, MemoryItem.all_objects).without_search_data().order_by(*self._order())
        first = [] if search.filter else list(rows[:count])
        rest = streamed(rows[len(first) :]) if len(first) == count or search.filter else iter(())
        return filter(search.passes, map(stored, filter(is_live, chain(first, rest))))

    def _order(self) -> Sequence[str]:
        """Firestore's order ends with the document's id, without another index."""
        order = ("session_id", "timestamp")
        return order if connections[self.alias].vendor == "firestore" else (*order, "id")

    def _below(self, prefix: Namespace, manager: Any = MemoryItem.objects) -> MemoryItemQuerySet:
        """Items in a namespace and all below it.

        In order they are read with `all_objects` and `is_live()`: the condition would need an index of its own.
        """
        items: MemoryItemQuerySet = manager.using(self.alias).for_user(self.user_id)
        start = session_of(prefix)
        if connections[self.alias].vendor in BY_CODE_POINTS:
            return items.filter(session_id__gte=start, session_id__lt=end_of(start))
        return items.filter(session_id__startswith=start)

    def namespaces(self) -> list[Namespace]:
        """The namespaces with a live item, in order."""
        return sorted(map(namespace_of, self._sessions()))

    def _sessions(self) -> Iterator[str]:
        """The session ids of the namespaces. On Firestore one document is read for each: a query skips to the next."""
        if connections[self.alias].vendor != "firestore":
            items = self._below(()).filter(item_type=ITEM_TYPE).order_by()
            yield from map(str, items.values_list("session_id", flat=True).distinct())
            return
        rows = self._below((), MemoryItem.all_objects).without_search_data().order_by(*self._order())
        found = rows.first()
        while found is not None:
            session_id = str(found.session_id)
            if is_live(found) or any(map(is_live, streamed(rows.filter(session_id=session_id)))):
                yield session_id
            found = rows.filter(session_id__gt=session_id).first()


BY_CODE_POINTS = frozenset({"sqlite", "firestore"})
"""Databases that compare texts by code points. SQLite's `startswith` ignores case."""


def expiration(now: datetime, ttl: float | None) -> datetime | None:
    """When an item with this TTL in minutes expires."""
    return None if ttl is None else now + timedelta(minutes=ttl)


def is_live(item: MemoryItem) -> bool:
    """Whether it is an item of a store that has not expired."""
    return is_stored(item) and (item.expiration is None or item.expiration > timezone.now())


def is_stored(item: MemoryItem) -> bool:
    """Whether it is an item of a store, and not some other item whose session looks like a namespace."""
    return item.item_type == ITEM_TYPE and "key" in item.metadata


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
