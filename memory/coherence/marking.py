"""What the open transactions of this process have marked in the cache, and how their end is applied to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import connections

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
from .rows import Tables, conversation_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(eq=False)
class Change:
    """The operations of one write; `committed` is set by `on_commit`."""

    operations: list[tuple[Conversation, Operation]]
    committed: bool = False


@dataclass(eq=False)
class Transaction:
    """The marks and changes of one transaction of one connection."""

    cache: ConversationCache
    using: str
    tables: Tables
    block: object  # the outermost `atomic`
    marks: dict[Conversation, Mark] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    untouched: list[Any] = field(default_factory=list)
    """Items whose sessions' rows were not widened, since the cached rows were recent enough."""

    def mark(self, conversations: Iterable[Conversation]) -> None:
        """Mark those that are not marked yet. Call it before the first write to any of them."""
        new = [each for each in dict.fromkeys(conversations) if each not in self.marks]
        if not new:
            return
        # Recorded first: if marking fails halfway, they are dropped when the transaction ends.
        self.marks.update(dict.fromkeys(new, Mark()))
        with suppress(Unavailable):
            self.marks.update(self.cache.mark(new))

    def commit(self, change: Change) -> None:
        """A write was committed; after the last of the transaction, apply all of them to the cache."""
        change.committed = True
        if self.changes and change is self.changes[-1]:
            self._finish([operation for each in self.changes if each.committed for operation in each.operations])

    def drop(self) -> None:
        """Drop what was marked: the transaction was rolled back, or its outcome is unknown."""
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
        self._touch({each.conversation for each, is_applied in zip(written, applied, strict=True) if not is_applied})

    def _touch(self, overlapped: Collection[Conversation]) -> None:
        """Widen the sessions that other writers changed meanwhile: the cached row may not have been recent."""
        items, self.untouched = [item for item in self.untouched if conversation_of(item) in overlapped], []
        if items:
            self.tables.sessions.objects.using(self.using).touch(items)


_transactions: WeakKeyDictionary[BaseDatabaseWrapper, Transaction] = WeakKeyDictionary()


def known(using: str) -> Transaction | None:
    """The open transaction of this thread's connection, or its last one."""
    return _transactions.get(connections[using])


def current(cache: ConversationCache, using: str, tables: Tables) -> Transaction:
    """The open transaction; one that was rolled back before it is dropped."""
    connection = connections[using]
    block = connection.atomic_blocks[0] if connection.atomic_blocks else None
    found = _transactions.get(connection)
    if found is None or found.block is not block:
        if found is not None:
            found.drop()
        found = _transactions[connection] = Transaction(cache, using, tables, block)
    return found


def settle(using: str) -> None:
    """Drop the marks of a transaction that ended without a commit: it was rolled back."""
    connection = connections[using]
    found = _transactions.get(connection)
    if found is not None and not in_transaction(connection):
        del _transactions[connection]
        found.drop()
