"""The locks of `select_for_update(skip_locked=True)`: a document per row, created before the row is read.

Firestore does not report who holds its locks. So a block that skips locked rows records its own: it creates a lease
for each row, which no other block can create, and leaves out rows that have one. The commit deletes the leases
together with the writes of the block; a rollback deletes them by themselves. The lease of a killed process expires.

Leases decide who tries, not who wins: the commit requires that the rows have not changed since they were read under
the lease. A lease that expired too early, by a slow block or a wrong clock, costs one of the two blocks a `Contention`.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

from django.db import DatabaseError

from memory.backends import clock

from ..query.plan import Create, Delete, Outcome, Update, Write
from ..rpc import codec
from ..rpc.channel import Message
from ..rpc.executor import Executor
from ..values.auto_ids import random_token
from ..values.marker_collections import lease_collection
from ..values.types import Kind, Ref

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 60.0
"""How long the rows of a killed process stay locked: as long as Firestore keeps the locks of an idle transaction."""

OWNER: Final = Ref(("owner",), Kind.TEXT)
EXPIRES: Final = Ref(("expires",), Kind.DATETIME)


class Leases:
    """The leases of one transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._held: dict[tuple[str, str], None] = {}

    @cached_property
    def _owner(self) -> str:
        return random_token()

    def __bool__(self) -> bool:
        return bool(self._held)

    def take(self, table: str, ids: Sequence[str], count: int | None = None) -> tuple[list[str], list[str]]:
        """The first `count` rows (by default all) that nobody else has a lease of, now leased by this transaction, and
        the rows that others have leases of, as far as they were tried."""
        collection = lease_collection(table)
        others = [id for id in ids if (collection, id) not in self._held]
        found = self._executor.documents([(collection, id) for id in others]) if others else {}
        taken = {id for id in ids if (collection, id) in self._held}
        refused = [id for id in others if _is_valid(found.get((collection, id)))]
        waiting = iter([id for id in others if id not in set(refused)])
        while count is None or len(taken) < count:
            some = list(islice(waiting, None if count is None else count - len(taken)))
            if not some:
                break
            outcomes = self._executor.commit(
                [self._claim(collection, id, found.get((collection, id))) for id in some], isolate=True
            )
            taken.update(id for id, outcome in zip(some, outcomes, strict=True) if outcome is Outcome.APPLIED)
            self._held.update(((collection, id), None) for id in some if id in taken)
            refused += [id for id in some if id not in taken]
        return [id for id in ids if id in taken][:count], refused

    def give_back(self, table: str, ids: Collection[str]) -> None:
        """Ends the leases of these rows."""
        names = [(lease_collection(table), id) for id in ids]
        for name in names:
            self._held.pop(name, None)
        self._delete([Delete(*name) for name in names])

    def release(self) -> None:
        """Ends all leases. If that call fails, they expire."""
        writes = list(self.deletes())
        self.forget()
        self._delete(writes)

    def deletes(self) -> Iterator[Write]:
        """The writes that end all leases."""
        return (Delete(*name) for name in self._held)

    def forget(self) -> None:
        """Called when the leases have been deleted."""
        self._held.clear()

    def _delete(self, writes: Sequence[Write]) -> None:
        try:
            self._executor.commit(writes, isolate=True)
        except DatabaseError as error:
            logger.warning("Rows stay locked for up to %.0f s: %s", LEASE_SECONDS, error)

    def _claim(self, collection: str, id: str, expired: Message | None) -> Write:
        until = datetime.datetime.fromtimestamp(clock.real_time() + LEASE_SECONDS, datetime.UTC)
        if expired is None:
            return Create(collection, id, (OWNER, EXPIRES), (self._owner, until))
        return Update(collection, id, (OWNER, EXPIRES), (self._owner, until), version=codec.version(expired))


def _is_valid(lease: Message | None) -> bool:
    """Whether a lease has not expired."""
    return lease is not None and lease.fields[EXPIRES.path[0]].timestamp_value.seconds > clock.real_time()
