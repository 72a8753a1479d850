"""What the transactions of this process have marked in the cache, and tell it once they are committed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.db import connections
from django.utils import timezone

from ..cache import (
    ITEMS_CHANGED,
    SESSION_CHANGED,
    Conversation,
    ConversationCache,
    Mark,
    Operation,
    Unavailable,
    Written,
)
from ..contention import in_transaction
from ..search.context import EARLIER
from ..snapshots import sortable
from .cached import conversation_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..models import MemoryItem


@dataclass(eq=False)
class Change:
    """What one write did; `committed` once the database says so."""

    operations: list[tuple[Conversation, Operation]]
    committed: bool = False


@dataclass(eq=False)
class Transaction:
    """What one transaction of one connection has marked, and what it did."""

    cache: ConversationCache
    using: str
    block: object  # the outermost `atomic`
    marks: dict[Conversation, Mark] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    untouched: list[MemoryItem] = field(default_factory=list)

    def mark(self, conversations: Iterable[Conversation]) -> None:
        """Mark those that are not marked yet. Before the first write to any of them."""
        new = [each for each in dict.fromkeys(conversations) if each not in self.marks]
        if not new:
            return
        # Kept first: whatever happens to the marking, these are dropped unless they are finished well.
        self.marks.update(dict.fromkeys(new, Mark()))
        with suppress(Unavailable):
            self.marks.update(self.cache.mark(new, EARLIER, sortable(timezone.now())))

    def commit(self, change: Change) -> None:
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
        from ..models import UserSession

        items, self.untouched = [item for item in self.untouched if conversation_of(item) in unsure], []
        if items:
            UserSession.objects.using(self.using).touch(items)


_transactions: WeakKeyDictionary[BaseDatabaseWrapper, Transaction] = WeakKeyDictionary()


def known(using: str) -> Transaction | None:
    """What is marked by the transaction of this thread's connection, or by its last one."""
    return _transactions.get(connections[using])


def current(cache: ConversationCache, using: str) -> Transaction:
    """The open transaction's; where another's is left that has ended without a word, it is dropped."""
    connection = connections[using]
    block = connection.atomic_blocks[0] if connection.atomic_blocks else None
    found = _transactions.get(connection)
    if found is None or found.block is not block:
        if found is not None:
            found.drop()
        found = _transactions[connection] = Transaction(cache, using, block)
    return found


def settle(using: str) -> None:
    """Drop what a transaction had marked that has ended without a word: it was rolled back."""
    connection = connections[using]
    found = _transactions.get(connection)
    if found is not None and not in_transaction(connection):
        del _transactions[connection]
        found.drop()
