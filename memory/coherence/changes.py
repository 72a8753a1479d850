"""How a write path records what it changes, and the transaction in which it does so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from ..batches import Place
from ..cache import ITEMS_CHANGED, SESSION_CHANGED, Conversation, ConversationCache, Operation, add, remove
from ..contention import write_transaction
from . import marking
from .rows import Tables, cache_of, cached_item, conversation_of, session_from, session_row, times_from, touched_row

# How far a session's last_activity may lag behind its newest item where the cache knows the session's row.
TOUCH_AFTER = timedelta(minutes=1)


@contextmanager
def writing(using: str, tables: Tables, savepoint: bool = False, cached: bool = True) -> Iterator[Changes]:
    """`atomic()`, which also updates the conversation cache on commit. `cached=False`: the rows are not cached."""
    changes = Changes(cache_of(using, tables.items) if cached else None, using, tables)
    try:
        with write_transaction(using, savepoint=savepoint):
            yield changes
    finally:
        if changes.active:
            marking.settle(using)


class Changes:
    """Records the changes of one write, inside `writing`. Without a cache every method does nothing."""

    def __init__(self, cache: ConversationCache | None, using: str, tables: Tables) -> None:
        self._cache = cache
        self._using = using
        self._tables = tables

    @property
    def active(self) -> bool:
        """Whether there is a cache; if not, the caller need not find out what it is about to change."""
        return self._cache is not None

    def expect(self, conversations: Iterable[Conversation | None]) -> None:
        """Mark the conversations that are about to change. Call it before the first write to any of them."""
        if self._cache is not None and (known := [each for each in conversations if each is not None]):
            self._transaction(self._cache).mark(known)

    def saved(self, items: Iterable[Any], old: Iterable[Place] = ()) -> None:
        """The items are stored with exactly these values. `old`: the conversations they were in before, by id."""
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
        self._record(operations)

    def removed(self, old: Iterable[Place]) -> None:
        """These items were deleted from their conversations."""
        self._record([(conversation, remove(pk)) for pk, conversation in old if conversation is not None])

    def changed(self, conversations: Iterable[Conversation | None]) -> None:
        """Items of these conversations changed, and only the database knows their values."""
        self._record([(each, ITEMS_CHANGED) for each in dict.fromkeys(conversations) if each is not None])

    def everything_changed(self) -> None:
        """Every marked conversation changed, items and session, in an unknown way."""
        if self._cache is not None:
            marked = list(self._transaction(self._cache).marks)
            self._record([(each, operation) for each in marked for operation in (ITEMS_CHANGED, SESSION_CHANGED)])

    def session_saved(self, session: Any) -> None:
        """The session's row is stored with exactly these values."""
        if self._cache is not None:
            operation = self._cache.session_row(session_row(session))
            self._record([(Conversation(session.user_id, session.session_id), operation)])

    def sessions_touched(self, rows: Iterable[Any]) -> None:
        """The times of the sessions include those of these rows; their other fields are unchanged."""
        if self._cache is None:
            return
        touched = [(Conversation(row.user_id, row.session_id), row) for row in rows]
        known = self._session_values({conversation for conversation, _ in touched})
        for conversation, row in touched:
            session = session_from(known.get(conversation), self._tables.sessions, self._using)
            times = times_from(known.get(conversation), self._tables.sessions, self._using)
            first, last = row.started_at, row.last_activity
            if times is not None:
                first, last = min(first, times[0]), max(last, times[1])
            if session is None:
                value = touched_row(first, last)
            else:
                session.started_at, session.last_activity = first, last
                value = session_row(session)
            self._record([(conversation, self._cache.session_row(value))])
            known[conversation] = value.encode() or None

    def sessions_changed(self, conversations: Iterable[Conversation | None]) -> None:
        """The rows of these sessions changed or were deleted."""
        self._record([(each, SESSION_CHANGED) for each in conversations if each is not None])

    def session(self, conversation: Conversation) -> Any:
        """The `UserSession` as this transaction will leave it in the cache; None if it is not known."""
        value = self._session_values({conversation}).get(conversation)
        return session_from(value, self._tables.sessions, self._using)

    def _session_values(self, conversations: Set[Conversation]) -> dict[Conversation, bytes | None]:
        """The sessions' cached values: the last ones of this transaction, or those at the time of the mark.

        It reads all changes of the transaction, so that it is called once for many records.
        """
        current = None if self._cache is None else marking.known(self._using)
        if current is None:
            return {}
        found = {each: mark.session for each in conversations if (mark := current.marks.get(each)) is not None}
        for change in current.changes:
            for changed, (word, value, _) in change.operations:
                if word == SESSION_CHANGED[0] and changed in conversations:
                    found[changed] = value.encode() or None
        return found

    def to_touch(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items whose sessions' rows must be widened now; for the others the cached times are recent enough."""
        if self._cache is None:
            return items
        places = [(item, each) for item in items if (each := conversation_of(item)) is not None]
        values = self._session_values({each for _, each in places})
        times = {each: times_from(value, self._tables.sessions, self._using) for each, value in values.items()}
        recent = {item.pk for item, each in places if _is_recent(item, times.get(each))}
        self._transaction(self._cache).untouched.extend(item for item in items if item.pk in recent)
        return [item for item in items if item.pk not in recent]

    def _record(self, operations: list[tuple[Conversation, Operation]]) -> None:
        if self._cache is None or not operations:
            return
        current, change = self._transaction(self._cache), marking.Change(operations)
        current.mark(conversation for conversation, _ in operations)
        current.changes.append(change)
        transaction.on_commit(lambda: current.commit(change), using=self._using)

    def _transaction(self, cache: ConversationCache) -> marking.Transaction:
        return marking.current(cache, self._using, self._tables)


def _is_recent(item: Any, times: tuple[datetime, datetime] | None) -> bool:
    return times is not None and times[0] <= item.timestamp and item.timestamp - times[1] < TOUCH_AFTER


def _operation(item: Any) -> Operation:
    try:
        return add(cached_item(item))
    except (ValueError, TypeError, OverflowError, AttributeError):  # an expression, which the database computes
        return ITEMS_CHANGED
