"""Compares indexes with the items, and finds the users that have either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connections
from django.utils import timezone

from memory.models import MemoryItem, SearchIndex, SearchSegment
from memory.snapshots import epoch_microseconds

from .packing import is_outdated
from .pending import values_of
from .reading import read_base
from .tail import Maker

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class State:
    """How an index compares with the items. `gone` are ids of entries whose items are not as they were indexed.

    `unindexed` are items that are in no segment, `unlisted` segments that no directory lists. `outdated`: another
    version, language or model made the index.
    """

    indexed: int
    unindexed: int
    gone: tuple[str, ...]
    unlisted: int
    outdated: bool

    def is_clean(self, tail: int = 0) -> bool:
        """Whether every item is indexed (but for `tail` items), and nothing else is."""
        return not (self.unindexed > tail or self.gone or self.unlisted or self.outdated)


def state_of(user_id: str, using: str, maker: Maker) -> State:
    """Compare a user's index with all items. Reads each item once, without its text."""
    directory, base = read_base(user_id, using, maker.model)
    corpus = base.segment.corpus
    items = MemoryItem.all_objects.using(using).for_user(user_id).order_by()
    seen: set[int] = set()
    unindexed = 0
    now = timezone.now()
    for pk, written, expiration in items.values_list("pk", "written", "expiration").iterator(chunk_size=ROWS_AT_ONCE):
        if expiration is not None and expiration <= now:
            continue
        time = 0 if written is None else epoch_microseconds(written)
        place = base.places_of([pk]).get(pk)
        if place is None or int(base.segment.written[place]) != time:
            unindexed += 1
        else:
            seen.add(place)
    gone = tuple(identity for place, identity in enumerate(corpus.ids) if place not in seen)
    stored = set(SearchSegment.objects.using(using).filter(user_id=user_id).values_list("pk", flat=True))
    unlisted = len(stored.difference(directory.ids, (summary.id for summary in directory.summaries)))
    return State(len(seen), unindexed, gone, unlisted, is_outdated(directory, maker))


def users(using: str) -> Iterator[str]:
    """The users with items or an index. On Firestore each costs two reads."""
    items = MemoryItem.all_objects.using(using)
    if connections[using].vendor == "firestore":
        found = set(values_of(items, "user_id"))
    else:
        names = items.order_by().values_list("user_id", flat=True).distinct()
        names.query.expects_mirror = True  # type: ignore[attr-defined]  # Firestore does not run it
        found = set(names)
    indexed = SearchIndex.objects.using(using).order_by().values_list("user_id", flat=True)
    yield from sorted(found.union(indexed))
