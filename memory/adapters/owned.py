"""What all adapters share: data in one database, reached from threads and from event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from memory.lifecycle.erasure import Progress
    from memory.stores.threads import DatabaseThreads

T = TypeVar("T")

_lock = threading.Lock()
_pools: dict[str, DatabaseThreads] = {}


class Connected:
    """Data in one database. `using` is a database alias; None: `MEMORY["DATABASE"]`."""

    def __init__(self, using: str | None = None) -> None:
        self._using = using

    @property
    def alias(self) -> str:
        """The database alias."""
        if self._using is None:
            from memory.conf import memory_settings  # needs django.setup()

            self._using = memory_settings.database
        return self._using

    def call(self, function: Callable[[], T]) -> T:
        """The result of a function that uses the database.

        It runs in this thread if this is in a transaction or has a connection, else on a thread of a pool: frameworks
        call from short-lived threads, whose connections nobody closes, and from event loops, where Django forbids it.
        """
        connection = connections[self.alias]
        if _in_event_loop():
            return pool_of(self.alias).call(function)
        if connection.in_atomic_block or connection.connection is not None:
            return function()
        return pool_of(self.alias).submit(function).result()

    async def acall(self, function: Callable[[], T]) -> T:
        """As `call`, on a thread of a pool."""
        return await pool_of(self.alias).run(function)

    def _erase(self, user_id: str, by: str) -> Progress:
        """Erase a person, as `memory.lifecycle.erasure.erase` does."""
        from memory.exceptions import storage_errors  # needs django.setup()
        from memory.lifecycle.erasure import erase  # needs django.setup()

        with storage_errors("Erasing the user"):
            return erase(user_id, by=by, using=self.alias)


class Owned(Connected):
    """One user's data. Nothing of another user is read, changed or deleted.

    `using` is a database alias; None: `MEMORY["DATABASE"]`.
    """

    def __init__(self, user_id: str, using: str | None = None) -> None:
        if not isinstance(user_id, str) or not user_id:
            raise ValueError("user_id must be a string that is not empty: an adapter holds the data of one user.")
        Connected.__init__(self, using)
        self.user_id = user_id

    def erase_user(self, by: str = "") -> Progress:
        """Erase the user: all that the project stores of them, whatever wrote it. `by` says who asked for it.

        It returns when nothing is left, which takes some seconds; `receipt` of the result is the text of the receipt.
        Writes of the user are refused for a day. Raises `ValidationError` inside a transaction.
        """
        return self.call(partial(self._erase, self.user_id, by))

    async def aerase_user(self, by: str = "") -> Progress:
        """As `erase_user`."""
        return await self.acall(partial(self._erase, self.user_id, by))


def pool_of(alias: str) -> DatabaseThreads:
    """The threads of this process for a database."""
    from memory.stores.threads import DatabaseThreads  # needs django.setup()

    with _lock:
        if alias not in _pools:
            _pools[alias] = DatabaseThreads(alias)
        return _pools[alias]


def close_pools() -> None:
    """End the threads of all adapters and close their connections; the next call of an adapter starts new ones."""
    with _lock:
        pools = list(_pools.values())
    for pool in pools:
        pool.close()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
