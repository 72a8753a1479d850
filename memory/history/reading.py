"""Reading a conversation: from the cache, and on a miss from the database."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import chain, islice

from asgiref.sync import sync_to_async
from django.db import connections, router
from django.utils import timezone

from memory.backends.firestore.values.sizes import ByteBudget

from .. import coherence, telemetry, usage
from ..cache import MAX_BYTES, Conversation, ConversationCache, Unavailable
from ..coherence.rows import cached_item, session_from, session_row
from ..conf import memory_settings
from ..models import MemoryItem, UserSession
from ..querysets import MemoryItemQuerySet
from ..querysets.retained import retained
from ..querysets.scan import CHUNK_SIZE, streamed
from ..querysets.validity import first_valid
from ..snapshots import NotASnapshotError, restore_all, sortable, take


def cache_of(using: str) -> ConversationCache | None:
    """The conversation cache of the database `using`; None where `MEMORY["CACHE"]` is None or not a Redis."""
    return coherence.cache_of(using, MemoryItem)


def recent(
    user_id: str,
    session_id: str | None,
    limit: int,
    using: str | None = None,
    *,
    most_bytes: int = sys.maxsize,
    superseded: bool = False,
) -> list[MemoryItem]:
    """The newest `limit` live items of a conversation, newest first, as the database has them.

    They are valid now; with `superseded` all are returned, as they were said. `session_id=None` returns items of all
    the user's conversations, which are not cached. `using` is a database alias. With `most_bytes` the list ends with
    the item by which the items together exceed them in memory.
    """
    alias = using or router.db_for_write(MemoryItem)
    with telemetry.operation(telemetry.READ_SESSION, alias) as outcome:
        items = _recent(user_id, session_id, limit, alias, superseded, most_bytes)
        outcome.found(items)
    return items


def _recent(
    user_id: str, session_id: str | None, limit: int, alias: str, superseded: bool, most_bytes: int
) -> list[MemoryItem]:
    if session_id is None:
        live: MemoryItemQuerySet = MemoryItem.objects.using(alias)
        rows = live.for_user(user_id).without_search_data().newest_first()
        return _first(rows, limit, superseded, most_bytes)
    conversation, cache = Conversation(user_id, session_id), cache_of(alias)
    if cache is None or limit < 1 or connections[alias].in_atomic_block:
        return _first(_rows(conversation, alias), limit, superseded, most_bytes)
    asked, now = limit, timezone.now()
    while True:
        items = _through(cache, conversation, alias, asked, most_bytes)
        found = items if superseded else [item for item in items if item.is_valid(now)]
        if len(found) >= limit or len(items) < asked:
            return found[:limit]
        asked += max(2 * (limit - len(found)), CHUNK_SIZE)


def _first(rows: MemoryItemQuerySet, limit: int, superseded: bool, most_bytes: int) -> list[MemoryItem]:
    found = streamed(rows[:limit]) if superseded else first_valid(rows, limit)
    return list(ByteBudget(most_bytes).take(found))


def _through(
    cache: ConversationCache, conversation: Conversation, alias: str, limit: int, most_bytes: int
) -> list[MemoryItem]:
    """The newest items, through the cache. Fewer than `limit`: there are no more, or they are larger."""
    cached = _cached(cache, conversation, alias, limit)
    usage.add(usage.CACHE_MISS if isinstance(cached, str) else usage.CACHE_HIT)
    if not isinstance(cached, str):
        return cached
    return _read(cache, conversation, alias, limit, cached, ByteBudget(most_bytes))


def session(user_id: str, session_id: str, using: str | None = None) -> UserSession | None:
    """The session's row, through the cache; None if there is no such session."""
    alias = using or router.db_for_write(UserSession)
    cache = cache_of(alias)
    if cache is None or connections[alias].in_atomic_block:
        return _stored_session(user_id, session_id, alias)
    conversation = Conversation(user_id, session_id)
    lease = ""
    with suppress(Unavailable):
        cached, lease = cache.look_for_session(conversation)
        if (known := session_from(cached, UserSession, alias)) is not None:
            return known
        if cached is not None:
            cache.drop(conversation)
    found = _stored_session(user_id, session_id, alias)
    if found is not None and lease:
        with suppress(Unavailable):
            cache.fill_session(conversation, lease, session_row(found))
    return found


def _stored_session(user_id: str, session_id: str, using: str) -> UserSession | None:
    return UserSession.objects.using(using).filter(pk=UserSession.make_id(user_id, session_id)).first()


def session_by_id(pk: str, using: str | None = None) -> UserSession | None:
    """`session`, by the id of its row."""
    alias = using or router.db_for_write(UserSession)
    if (parts := UserSession.parts_of(pk)) is None:
        return UserSession.objects.using(alias).filter(pk=pk).first()
    return session(*parts, using=alias)


arecent = sync_to_async(recent)
asession = sync_to_async(session)


def verify(conversation: Conversation, using: str) -> bool:
    """Whether the cache has nothing of the conversation, or exactly what the database has; if not, it is dropped.

    A conversation that changes during the comparison is compared again.
    """
    cache = cache_of(using)
    while cache is not None:
        found = cache.look(conversation, cache.size, sortable(timezone.now()), fill=False)
        if found.snapshots is None:
            return True
        rows = _rows(conversation, using)[: len(found.snapshots) + found.whole]
        stored = [take(row).encode() for row in rows]
        cached = [snapshot if isinstance(snapshot, bytes) else str(snapshot).encode() for snapshot in found.snapshots]
        if stored == cached:
            return True
        if cache.unchanged(conversation, found.change):
            cache.drop(conversation)
            return False
    return True


def _rows(conversation: Conversation, using: str) -> MemoryItemQuerySet:
    live: MemoryItemQuerySet = MemoryItem.objects.using(using)
    rows = live.for_user(conversation.user_id).in_session(conversation.session_id)
    return rows.without_search_data().newest_first()


def _cached(cache: ConversationCache, conversation: Conversation, using: str, limit: int) -> list[MemoryItem] | str:
    """The conversation's newest items; on a miss the lease to fill the cache with, or "" if it must not be filled."""
    try:
        found = cache.look(conversation, limit, sortable(timezone.now()))
        if found.snapshots is None:
            return found.lease
        items = restore_all(MemoryItem, found.snapshots, using)
        if memory_settings.retention and sum(1 for _ in retained(items, using)) < len(items):
            return ""
        if len(items) >= limit or found.whole:
            return items
        return _with_older(cache, conversation, using, limit, items, found.change)
    except Unavailable:
        return ""
    except NotASnapshotError:
        _drop(cache, conversation)
        return ""


def _with_older(
    cache: ConversationCache, conversation: Conversation, using: str, limit: int, items: list[MemoryItem], change: str
) -> list[MemoryItem] | str:
    """The cached items and older ones from the database; "" if none are cached, or a writer came between."""
    if not items:
        return ""
    last = items[-1].timestamp
    known = {item.pk for item in items}
    of_that_time = sum(item.timestamp == last for item in items)
    older = list(_rows(conversation, using).filter(timestamp__lte=last)[: limit - len(items) + of_that_time])
    if not cache.unchanged(conversation, change):
        return ""
    return [*items, *(item for item in older if item.pk not in known)][:limit]


def _read(
    cache: ConversationCache, conversation: Conversation, using: str, limit: int, lease: str, budget: ByteBudget
) -> list[MemoryItem]:
    """The newest items from the database; with a lease, the cache is filled with as many as it keeps."""
    rows = _rows(conversation, using)
    if not lease:
        return list(budget.take(streamed(rows[:limit])))
    # One more row than the cache holds shows whether the conversation has more.
    stream = streamed(rows[: max(limit, cache.size) + 1])
    kept = ByteBudget(MAX_BYTES)
    read = list(kept.take(stream))
    with suppress(Unavailable, OverflowError):
        newest = [cached_item(item) for item in read[: cache.size]]
        cache.fill(conversation, lease, newest, whole=len(read) <= cache.size and not kept.is_spent)
    return list(budget.take(islice(chain(read, stream), limit)))


def _drop(cache: ConversationCache, conversation: Conversation) -> None:
    with suppress(Unavailable):
        cache.drop(conversation)
