"""A conversation's history: the order in which cache and database are read and written.

Reading: the cache; where it has nothing, the database, and then the cache is filled if no writer came between. Inside a
transaction only the database is asked, since it alone knows what the transaction sees.

Writing: mark the conversations in the cache, write to the database, and once that is committed tell the cache what was
done, which lifts the marks. Until then readers go to the database. A transaction that is rolled back drops what it had
marked. Without a cache (`MEMORY["CACHE"]` is None, or no Redis) all of this comes down to the database.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import connections, router, transaction
from django.utils import timezone

from .batches import Place, places_of
from .cache import (
    ITEMS_CHANGED,
    SESSION_CHANGED,
    Conversation,
    ConversationCache,
    Item,
    Mark,
    Operation,
    Unavailable,
    Written,
    add,
    remove,
)
from .conf import memory_settings
from .contention import in_transaction
from .redis import redis_cache
from .search.context import EARLIER
from .snapshots import NotASnapshotError, form_of, restore, sortable, take

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from .models import MemoryItem, UserSession
    from .querysets import MemoryItemQuerySet

_PROCESS = secrets.token_hex(8)

# A session's row follows its items' times with so much delay where the cache knows the row.
TOUCH_AFTER = timedelta(minutes=1)

__all__ = [
    "Changes",
    "arecent",
    "asession",
    "cache_of",
    "conversation_of",
    "recent",
    "session",
    "session_by_id",
    "verify",
    "writing",
]


def recent(user_id: str, session_id: str | None, limit: int, using: str | None = None) -> list[MemoryItem]:
    """The newest `limit` live items of a conversation, newest first, as the database has them.

    `session_id` None: of all the user's conversations, which are not cached. `using` is a database's alias.
    """
    from .models import MemoryItem

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
    from .models import UserSession

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
    from .models import UserSession

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
    from .models import MemoryItem

    live: MemoryItemQuerySet = MemoryItem.objects.using(using)
    rows = live.for_user(conversation.user_id).in_session(conversation.session_id)
    return rows.without_search_data().newest_first()


def cache_of(using: str) -> ConversationCache | None:
    """The cache in front of a database, or None where there is none: switched off, or `CACHE` is no Redis."""
    alias = memory_settings.history_cache
    cache = None if alias is None else redis_cache(alias)
    if cache is None or (database := _identity(connections[using])) is None:
        return None
    from .models import MemoryItem

    return ConversationCache(
        cache, database, form_of(MemoryItem), memory_settings.history_size, memory_settings.cache_ttl
    )


def _identity(connection: BaseDatabaseWrapper) -> str | None:
    """What tells a database from others, for all processes that use it alike."""
    settings = connection.settings_dict
    parts = [connection.vendor, *(str(settings.get(key, "")) for key in ("HOST", "PORT", "PROJECT", "NAME"))]
    in_memory = getattr(connection, "is_in_memory_db", None)
    if in_memory is not None and in_memory():
        if settings["NAME"] == ":memory:":  # each thread has its own
            return None
        parts.append(f"{os.getpid()}-{_PROCESS}")
    return "|".join(parts)


def conversation_of(item: MemoryItem) -> Conversation | None:
    """The conversation that an item belongs to; None outside of any."""
    return None if item.session_id is None else Conversation(item.user_id, item.session_id)


def row_of(found: UserSession) -> str:
    """A session as the cache holds it."""
    return form_of(type(found)) + take(found)


def session_from(row: bytes | None, using: str) -> UserSession | None:
    """The inverse of `row_of`; None for anything else."""
    from .models import UserSession

    text = b"" if row is None else row
    form = form_of(UserSession).encode()
    if not text.startswith(form):
        return None
    try:
        return restore(UserSession, text[len(form) :], using)
    except NotASnapshotError:
        return None


def cached_item(item: MemoryItem) -> Item:
    """An item as the cache holds it. `ValueError` or `TypeError` where only the database knows its values."""
    return Item(item.pk, sortable(item.timestamp), sortable(item.expiration), take(item))


def _held(cache: ConversationCache, conversation: Conversation, using: str, limit: int) -> list[MemoryItem] | str:
    """The conversation's newest items, or, where the cache does not tell, the lease to fill it with, empty for none."""
    from .models import MemoryItem

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


@dataclass(eq=False)
class _Change:
    """What one write did; `committed` once the database says so."""

    operations: list[tuple[Conversation, Operation]]
    committed: bool = False


@dataclass(eq=False)
class _Transaction:
    """What one transaction of one connection has marked, and what it did."""

    cache: ConversationCache
    using: str
    block: object  # the outermost `atomic`
    marks: dict[Conversation, Mark] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)
    untouched: list[MemoryItem] = field(default_factory=list)

    def mark(self, conversations: Iterable[Conversation]) -> None:
        new = [each for each in dict.fromkeys(conversations) if each not in self.marks]
        if not new:
            return
        # Kept first: whatever happens to the marking, these are dropped unless they are finished well.
        self.marks.update(dict.fromkeys(new, Mark()))
        with suppress(Unavailable):
            self.marks.update(self.cache.mark(new, EARLIER, sortable(timezone.now())))

    def commit(self, change: _Change) -> None:
        """Note that a write is committed; after the last, tell the cache of them all."""
        change.committed = True
        if self.changes and change is self.changes[-1]:
            self._finish([operation for each in self.changes if each.committed for operation in each.operations])

    def drop(self) -> None:
        """Forget what was marked: the transaction was rolled back, or nobody knows."""
        everything = [(each, operation) for each in self.marks for operation in (ITEMS_CHANGED, SESSION_CHANGED)]
        self.untouched = []
        self._finish(everything)

    def _finish(self, operations: Sequence[tuple[Conversation, Operation]]) -> None:
        if not self.marks:
            return
        done: dict[Conversation, list[Operation]] = {each: [] for each in self.marks}
        for conversation, operation in operations:
            done[conversation].append(operation)
        written = [Written(each, mark, done[each]) for each, mark in self.marks.items()]
        self.marks, self.changes = {}, []
        applied = [False] * len(written)
        with suppress(Unavailable):
            applied = self.cache.finish(written)
        self._touch({each.conversation for each, well in zip(written, applied, strict=True) if not well})

    def _touch(self, unsure: Collection[Conversation]) -> None:
        """Sessions that were not touched on the cache's word are, where others have been at work meanwhile."""
        from .models import UserSession

        items, self.untouched = [item for item in self.untouched if conversation_of(item) in unsure], []
        if items:
            UserSession.objects.using(self.using).touch(items)


_transactions: WeakKeyDictionary[BaseDatabaseWrapper, _Transaction] = WeakKeyDictionary()


class Changes:
    """What the write path inside `writing` tells of itself; `active` is false where there is no cache to be told."""

    def __init__(self, cache: ConversationCache | None, using: str) -> None:
        self._cache = cache
        self._using = using

    @property
    def active(self) -> bool:
        """Whether anybody listens, so that it is worth while to find out what is about to change."""
        return self._cache is not None

    def expect(self, conversations: Iterable[Conversation | None]) -> None:
        """These are about to change. Before the first write to any of them."""
        if self._cache is not None and (known := [each for each in conversations if each is not None]):
            self._current(self._cache).mark(known)

    def saved(self, items: Iterable[Any], old: Iterable[Place] = ()) -> None:
        """The items are stored exactly as they are here; `old` has the conversations that they were in, by id."""
        if self._cache is None:
            return
        before = dict(old)
        operations: list[tuple[Conversation, Operation]] = []
        for item in items:
            now = conversation_of(item)
            if (was := before.get(item.pk)) is not None and was != now:
                operations.append((was, remove(item.pk)))
            if now is not None:
                operations.append((now, _operation(item)))
        self._note(operations)

    def removed(self, old: Iterable[Place]) -> None:
        """These items are gone from their conversations."""
        self._note([(conversation, remove(pk)) for pk, conversation in old if conversation is not None])

    def changed(self, conversations: Iterable[Conversation | None]) -> None:
        """Something in them is not as it was, and the database alone knows what."""
        self._note([(each, ITEMS_CHANGED) for each in dict.fromkeys(conversations) if each is not None])

    def everything_changed(self) -> None:
        """Whatever was expected has changed, nobody knows how."""
        if self._cache is not None:
            marked = list(self._current(self._cache).marks)
            self._note([(each, operation) for each in marked for operation in (ITEMS_CHANGED, SESSION_CHANGED)])

    def session_saved(self, found: UserSession) -> None:
        """The session's row is stored exactly as it is here."""
        if self._cache is not None:
            row = self._cache.session_row(row_of(found))
            self._note([(Conversation(found.user_id, found.session_id), row)])

    def sessions_changed(self, conversations: Iterable[Conversation | None]) -> None:
        """These sessions' rows are not as they were, or gone."""
        self._note([(each, SESSION_CHANGED) for each in conversations if each is not None])

    def session(self, conversation: Conversation) -> UserSession | None:
        """The session's row as the cache held it when the conversation was marked."""
        current = None if self._cache is None else _transactions.get(connections[self._using])
        mark = None if current is None else current.marks.get(conversation)
        return None if mark is None else session_from(mark.session, self._using)

    def newest(self, conversation: Conversation) -> list[MemoryItem] | None:
        """The conversation's newest items when it was marked, newest first, some three of them; all if they are fewer.

        None where nobody knows, or where this transaction has written to it since.
        """
        from .models import MemoryItem

        current = None if self._cache is None else _transactions.get(connections[self._using])
        mark = None if current is None else current.marks.get(conversation)
        if mark is None or mark.newest is None or current is None or current.changes:
            return None
        try:
            return [restore(MemoryItem, snapshot, self._using) for snapshot in mark.newest]
        except NotASnapshotError:
            return None

    def to_touch(self, items: Sequence[MemoryItem]) -> Sequence[MemoryItem]:
        """The items whose sessions' rows must follow now; of the others the cache knows that they are near enough."""
        if self._cache is None:
            return items
        near = {item.pk for item in items if self._is_near(item)}
        self._current(self._cache).untouched.extend(item for item in items if item.pk in near)
        return [item for item in items if item.pk not in near]

    def _is_near(self, item: MemoryItem) -> bool:
        conversation = conversation_of(item)
        row = None if conversation is None else self.session(conversation)
        return row is not None and row.started_at <= item.timestamp < row.last_activity + TOUCH_AFTER

    def _note(self, operations: list[tuple[Conversation, Operation]]) -> None:
        if self._cache is None or not operations:
            return
        current, change = self._current(self._cache), _Change(operations)
        current.mark(conversation for conversation, _ in operations)
        current.changes.append(change)
        transaction.on_commit(lambda: current.commit(change), using=self._using)

    def _current(self, cache: ConversationCache) -> _Transaction:
        connection = connections[self._using]
        block = connection.atomic_blocks[0] if connection.atomic_blocks else None
        current = _transactions.get(connection)
        if current is None or current.block is not block:
            if current is not None:
                current.drop()
            current = _transactions[connection] = _Transaction(cache, self._using, block)
        return current


@contextmanager
def writing(using: str, savepoint: bool = False, cached: bool = True) -> Iterator[Changes]:
    """`atomic`, and the conversation cache told of what is written within it; not where `cached` is false."""
    changes = Changes(cache_of(using) if cached else None, using)
    try:
        with transaction.atomic(using=using, savepoint=savepoint):
            yield changes
    finally:
        if changes.active:
            settle(using)


def settle(using: str) -> None:
    """Drop what a transaction had marked that has ended without a word: it was rolled back."""
    connection = connections[using]
    current = _transactions.get(connection)
    if current is not None and not in_transaction(connection):
        del _transactions[connection]
        current.drop()


def settle_all(**kwargs: Any) -> None:
    """`settle`, for all connections of this thread: when a request has ended."""
    for connection in connections.all(initialized_only=True):
        if connection in _transactions:
            settle(connection.alias)


def before_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """`loaddata` saves past the models' own `save`: mark the conversation that a row is in, and the one it comes to."""
    if raw and (changes := Changes(cache_of(using), using)).active:
        stored = places_of(type(instance)._base_manager.using(using).filter(pk=instance.pk), lock=False)
        changes.expect([instance.conversation, *(conversation for rows in stored for _, conversation in rows)])


def after_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """The other half of `before_raw_save`."""
    if raw and (changes := Changes(cache_of(using), using)).active:
        changes.everything_changed()


def forget_everything(using: str, **kwargs: Any) -> None:
    """The tables are new or have been emptied."""
    if (cache := cache_of(using)) is not None:
        with suppress(Unavailable):
            cache.clear()


def _operation(item: MemoryItem) -> Operation:
    try:
        return add(cached_item(item))
    except (ValueError, TypeError, OverflowError, AttributeError):  # an expression, which the database computes
        return ITEMS_CHANGED
