"""Items whose sessions are a path or below it, in the database: in order, and ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from django.db import connections
from django.utils import timezone

from memory.batches import ROWS_AT_ONCE, batches
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.text_index import MOST_CHARACTERS, MOST_RESULTS

from .paths import end_of

BY_CODE_POINTS: Final = frozenset({"sqlite", "firestore"})
"""Databases that compare texts by code points. SQLite's `startswith` ignores case."""

Passes = Callable[[MemoryItem], bool]


def below(items: MemoryItemQuerySet, path: str) -> MemoryItemQuerySet:
    """The items in the session with this id, and in those below it."""
    if connections[items.db].vendor in BY_CODE_POINTS:
        return items.filter(session_id__gte=path, session_id__lt=end_of(path))
    return items.filter(session_id__startswith=path)


def in_order(items: MemoryItemQuerySet) -> MemoryItemQuerySet:
    """By session and time, without the data of search. Firestore's order ends with the id, without another index."""
    order = ("session_id", "timestamp")
    is_firestore = connections[items.db].vendor == "firestore"
    return items.without_search_data().order_by(*order, *(() if is_firestore else ("id",)))


def is_current(item: MemoryItem) -> bool:
    """Whether an item has not expired. Without this condition a query in order needs no index of its own."""
    return item.expiration is None or item.expiration > timezone.now()


def sessions(items: MemoryItemQuerySet, item_type: str, passes: Passes) -> Iterator[str]:
    """The ids of the sessions that have an item of this type which passes.

    On Firestore one document is read for each: a query skips to the next. `items` are those of `all_objects`.
    """
    if connections[items.db].vendor != "firestore":
        found = items.live().filter(item_type=item_type).order_by()
        yield from map(str, found.values_list("session_id", flat=True).distinct())
        return
    rows = in_order(items)
    first = rows.first()
    while first is not None:
        session_id = str(first.session_id)
        if passes(first) or any(map(passes, streamed(rows.filter(session_id=session_id)))):
            yield session_id
        first = rows.filter(session_id__gt=session_id).first()


def ranked(
    items: MemoryItemQuerySet, query: str, limit: int, passes: Passes | None, candidates: Callable[[], Iterable[str]]
) -> list[MemoryItem]:
    """The items that answer a query best, best first, at most 100, each with its `score`.

    With `passes` only those that pass. `candidates` returns the ids of all that pass: they alone are ranked if too few
    of the best of all items do.
    """
    wanted = min(limit, MOST_RESULTS)
    most = wanted if passes is None else MOST_RESULTS
    found = _found(items, query, most)
    if passes is None:
        return found
    passing = [item for item in found if passes(item)]
    if len(passing) >= wanted or len(passing) == len(found) or len(found) < most:
        return passing
    ids = list(candidates())
    return _found(items.filter(pk__in=ids), query, wanted) if ids else []


def _found(items: MemoryItemQuerySet, query: str, most: int) -> list[MemoryItem]:
    """The best items, each followed by the others with its text, which a search returns once."""
    found = items.search(query[:MOST_CHARACTERS], limit=most)
    same = [pk for item in found for pk in item.same]  # type: ignore[attr-defined]
    others = {item.pk: item for ids in batches(same, ROWS_AT_ONCE) for item in items.filter(pk__in=ids)}
    for item in found:
        for pk in item.same:  # type: ignore[attr-defined]
            if pk in others:
                others[pk].score = item.score  # type: ignore[attr-defined]
    every = ((item, *(others[pk] for pk in item.same if pk in others)) for item in found)  # type: ignore[attr-defined]
    return [item for items_of_text in every for item in items_of_text]
