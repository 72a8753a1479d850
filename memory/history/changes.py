"""What the write path tells of itself, and the block in which it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction

from ..batches import Place
from ..cache import ITEMS_CHANGED, SESSION_CHANGED, Conversation, ConversationCache, Operation, add, remove
from ..snapshots import NotASnapshotError, restore
from . import marking
from .cached import cache_of, cached_item, conversation_of, row_of, session_from

if TYPE_CHECKING:
    from ..models import MemoryItem, UserSession

# A session's row follows its items' times with so much delay where the cache knows the row.
TOUCH_AFTER = timedelta(minutes=1)


@contextmanager
def writing(using: str, savepoint: bool = False, cached: bool = True) -> Iterator[Changes]:
    """`atomic`, and the conversation cache told of what is written within it; not where `cached` is false."""
    changes = Changes(cache_of(using) if cached else None, using)
    try:
        with transaction.atomic(using=using, savepoint=savepoint):
            yield changes
    finally:
        if changes.active:
            marking.settle(using)


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
            marking.current(self._cache, self._using).mark(known)

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
            marked = list(marking.current(self._cache, self._using).marks)
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
        current = None if self._cache is None else marking.known(self._using)
        mark = None if current is None else current.marks.get(conversation)
        return None if mark is None else session_from(mark.session, self._using)

    def newest(self, conversation: Conversation) -> list[MemoryItem] | None:
        """The conversation's newest items when it was marked, newest first, some three of them; all if they are fewer.

        None where nobody knows, or where this transaction has written to it since.
        """
        from ..models import MemoryItem

        current = None if self._cache is None else marking.known(self._using)
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
        marking.current(self._cache, self._using).untouched.extend(item for item in items if item.pk in near)
        return [item for item in items if item.pk not in near]

    def _is_near(self, item: MemoryItem) -> bool:
        conversation = conversation_of(item)
        row = None if conversation is None else self.session(conversation)
        return row is not None and row.started_at <= item.timestamp < row.last_activity + TOUCH_AFTER

    def _note(self, operations: list[tuple[Conversation, Operation]]) -> None:
        if self._cache is None or not operations:
            return
        current, change = marking.current(self._cache, self._using), marking.Change(operations)
        current.mark(conversation for conversation, _ in operations)
        current.changes.append(change)
        transaction.on_commit(lambda: current.commit(change), using=self._using)


def _operation(item: MemoryItem) -> Operation:
    try:
        return add(cached_item(item))
    except (ValueError, TypeError, OverflowError, AttributeError):  # an expression, which the database computes
        return ITEMS_CHANGED
