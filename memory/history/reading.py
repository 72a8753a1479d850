"""Reading a conversation: the cache, and where it does not tell, the database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.db import connections, router
from django.utils import timezone

from ..cache import Conversation, ConversationCache, Unavailable
from ..snapshots import NotASnapshotError, restore, sortable, take
from .cached import cache_of, cached_item, row_of, session_from

if TYPE_CHECKING:
    from ..models import MemoryItem, UserSession
    from ..querysets import MemoryItemQuerySet


def recent(user_id: str, session_id: str | None, limit: int, using: str | None = None) -> list[MemoryItem]:
    """The newest `limit` live items of a conversation, newest first, as the database has them.

    `session_id` None: of all the user's conversations, which are not cached. `using` is a database's alias.
    """
    from ..models import MemoryItem

    alias = using or router.db_for_write(MemoryItem)
    if session_id is None:
        live: MemoryItemQuerySet = MemoryItem.objects.using(alias)
        return list(live.for_user(user_id).without_search_data().recent(limit))
    conversation, cache = Conversation(user_id, session_id), cache_of(alias)
    if cache is None or limit < 1 or connections[alias].in_atomic_block:
        return list(_rows(conversation, alias)[:limit])
    held = _held(cache, conversation, alias, limit)
    return _read(cache, conversation, alias, limit, held) if isinstance(held, str) else held


def session(user_id: str, session_id: str, using: str | None = None) -> UserSession | None:
    """The session's row, through the cache; None where there is no such session."""
    from ..models import UserSession

    alias = using or router.db_for_write(UserSession)
    row = UserSession.objects.using(alias).filter(pk=UserSession.make_id(user_id, session_id))
    cache = cache_of(alias)
    if cache is None or connections[alias].in_atomic_block:
        return row.first()
    conversation = Conversation(user_id, session_id)
    lease = ""
    with suppress(Unavailable):
        held, lease = cache.look_for_session(conversation)
        if (known := session_from(held, alias)) is not None:
            return known
        if held is not None:
            cache.drop(conversation)
    found = row.first()
    if found is not None and lease:
        with suppress(Unavailable):
            cache.fill_session(conversation, lease, row_of(found))
    return found


def session_by_id(pk: str, using: str | None = None) -> UserSession | None:
    """`session`, by the id of its row."""
    from ..models import UserSession

    alias = using or router.db_for_write(UserSession)
    if (parts := UserSession.parts_of(pk)) is None:
        return UserSession.objects.using(alias).filter(pk=pk).first()
    return session(*parts, using=alias)


arecent = sync_to_async(recent)
asession = sync_to_async(session)


def verify(conversation: Conversation, using: str) -> bool:
    """Whether the cache tells what the database has, or nothing; what it told wrongly is dropped.

    What changes while it is looked at is looked at again.
    """
    cache = cache_of(using)
    while cache is not None:
        found = cache.look(conversation, cache.size, sortable(timezone.now()), fill=False)
        if found.snapshots is None:
            return True
        rows = _rows(conversation, using)[: len(found.snapshots) + found.whole]
        stored = [take(row).encode() for row in rows]
        told = [snapshot if isinstance(snapshot, bytes) else str(snapshot).encode() for snapshot in found.snapshots]
        if stored == told:
            return True
        if cache.unchanged(conversation, found.change):
            cache.drop(conversation)
            return False
    return True


def _rows(conversation: Conversation, using: str) -> MemoryItemQuerySet:
    from ..models import MemoryItem

    live: MemoryItemQuerySet = MemoryItem.objects.using(using)
    rows = live.for_user(conversation.user_id).in_session(conversation.session_id)
    return rows.without_search_data().newest_first()


def _held(cache: ConversationCache, conversation: Conversation, using: str, limit: int) -> list[MemoryItem] | str:
    """The conversation's newest items, or, where the cache does not tell, the lease to fill it with, empty for none."""
    from ..models import MemoryItem

    try:
        found = cache.look(conversation, limit, sortable(timezone.now()))
        if found.snapshots is None:
            return found.lease
        held = [restore(MemoryItem, snapshot, using) for snapshot in found.snapshots]
        if len(held) >= limit or found.whole:
            return held
        return _with_the_rest(cache, conversation, using, limit, held, found.change)
    except Unavailable:
        return ""
    except NotASnapshotError:
        _drop(cache, conversation)
        return ""


def _with_the_rest(
    cache: ConversationCache, conversation: Conversation, using: str, limit: int, held: list[MemoryItem], change: str
) -> list[MemoryItem] | str:
    """What is held, and the older ones from the database; "" where nothing is, or somebody wrote between the two."""
    if not held:
        return ""
    last = held[-1].timestamp
    known = {item.pk for item in held}
    of_that_time = sum(item.timestamp == last for item in held)
    older = list(_rows(conversation, using).filter(timestamp__lte=last)[: limit - len(held) + of_that_time])
    if not cache.unchanged(conversation, change):
        return ""
    return [*held, *(item for item in older if item.pk not in known)][:limit]


def _read(cache: ConversationCache, conversation: Conversation, using: str, limit: int, lease: str) -> list[MemoryItem]:
    """The newest items from the database; with a lease, the cache is filled."""
    rows = _rows(conversation, using)
    if not lease:
        return list(rows[:limit])
    # One more than is wanted tells whether there is more.
    read = list(rows[: max(limit, cache.size) + 1])
    with suppress(Unavailable, OverflowError):
        newest = [cached_item(item) for item in read[: cache.size]]
        cache.fill(conversation, lease, newest, whole=len(read) <= cache.size)
    return read[:limit]


def _drop(cache: ConversationCache, conversation: Conversation) -> None:
    with suppress(Unavailable):
        cache.drop(conversation)
