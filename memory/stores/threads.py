"""Where awaited storage work runs: on threads of the store's own, so that many awaits overlap.

Django's `sync_to_async` runs everything that touches a database on one thread, one call after the other. Here each
call takes a free thread, which has database connections of its own and gives them back after the call by the project's
`CONN_MAX_AGE`, as a request does.

One case is different: where the caller is inside a transaction (a `TestCase`, an `atomic()` block) or the database
lives in memory, another connection would see another state, or wait for the caller for ever. Then the call uses the
caller's connection, one call at a time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

THREADS = 32
"""Calls that one store runs at a time; they wait for the network most of their time."""

ELSEWHERE: Any = object()


class Threads:
    """A pool that is made when it is first used, and made anew in a forked child, which inherits no threads."""

    def __init__(self, name: str, size: int = THREADS) -> None:
        self.name = name
        self.size = size
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Await a function's result. A cancelled await gives up waiting; what runs already runs to its end."""
        return await sync_to_async(function, thread_sensitive=False, executor=self.pool())()

    def call(self, function: Callable[[], T]) -> T:
        """A function's result, waited for; on a thread of the pool where an event loop runs in this one."""
        return function() if not _in_event_loop() else self.pool().submit(function).result()

    def pool(self) -> ThreadPoolExecutor:
        """The pool of this process."""
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(self.size, thread_name_prefix=self.name)
                self._pid = os.getpid()
            return self._pool

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        with self._lock:
            pool, self._pool = (self._pool if self._pid == os.getpid() else None), None
        if pool is not None:
            pool.shutdown()


class DatabaseThreads(Threads):
    """Threads that work on the database `alias`."""

    def __init__(self, alias: str, size: int = THREADS) -> None:
        super().__init__(f"memory-{alias}", size)
        self.alias = alias

    async def run(self, function: Callable[[], T]) -> T:
        """As `Threads.run`, on the caller's connection where that must be."""
        if waiting_thread() is not None:
            result = await sync_to_async(lambda: here_if_bound(self.alias, function))()
            if result is not ELSEWHERE:
                return result
        own = connections[self.alias]
        if is_bound(own):
            return await super().run(lambda: on_connection(own, function))
        return await super().run(lambda: and_close(self.alias, function))

    def call(self, function: Callable[[], T]) -> T:
        """As `Threads.call`, on the caller's connection where that must be."""
        if not _in_event_loop():
            return function()
        if (waiting := waiting_thread()) is not None:
            result = waiting.submit(here_if_bound, self.alias, function).result()
            if result is not ELSEWHERE:
                return result
        own = connections[self.alias]
        if is_bound(own):
            return self.pool().submit(on_connection, own, function).result()
        return self.pool().submit(and_close, self.alias, function).result()


def waiting_thread() -> Executor | None:
    """Runs in the thread that waits in `async_to_sync()` for the code that calls this; None where none waits."""
    executor: Executor | None = getattr(AsyncToSync.executors, "current", None)
    return executor


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_bound(connection: BaseDatabaseWrapper) -> bool:
    """Whether what this connection sees no other one does: it is in a transaction, or its database is in memory."""
    in_memory = getattr(connection, "is_in_memory_db", None)  # SQLite's alone
    return connection.in_atomic_block or bool(in_memory is not None and in_memory())


def here_if_bound(alias: str, function: Callable[[], T]) -> T:
    """The function's result if this thread's connection is bound; else `ELSEWHERE`, and nothing has been done."""
    return function() if is_bound(connections[alias]) else ELSEWHERE


def and_close(alias: str, function: Callable[[], T]) -> T:
    """The function's result, on this thread's connection: a healthy one, closed afterwards if its time is up."""
    connection = connections[alias]
    connection.close_if_unusable_or_obsolete()
    try:
        return function()
    finally:
        connection.close_if_unusable_or_obsolete()


_lending = threading.Lock()


def on_connection(connection: BaseDatabaseWrapper, function: Callable[[], T]) -> T:
    """The function's result, on another thread's connection, which nothing else uses meanwhile."""
    with _lending:
        own = connections[connection.alias]
        connection.inc_thread_sharing()
        connections[connection.alias] = connection
        try:
            return function()
        finally:
            connections[connection.alias] = own
            connection.dec_thread_sharing()
