"""Where awaited storage work runs: on threads of the store's own, so that many awaits overlap.

Django's `sync_to_async` runs everything that touches a database on one thread, one call after the other. Here each
call takes a free thread, which has database connections of its own and gives them back after the call by the project's
`CONN_MAX_AGE`, as a request does.

One case is different: a thread that waits in `async_to_sync()` for these calls may be inside a transaction (a
`TestCase`, an `atomic()` block). Another connection would see another state, or wait for that thread for ever, so the
calls run there, one at a time, as part of the transaction.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
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
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Start from nothing, as a forked child must: neither threads nor held locks are its own."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Await a function's result. A cancelled await gives up waiting; what runs already runs to its end."""
        return await asyncio.wrap_future(self.submit(function))

    def call(self, function: Callable[[], T]) -> T:
        """A function's result, waited for; on a thread of the pool where an event loop runs in this one."""
        return self.submit(function).result() if _in_event_loop() else function()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Start a function on the pool, in a copy of the caller's context."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.size, thread_name_prefix=self.name)
            return self._pool.submit(contextvars.copy_context().run, function)

    def close(self) -> None:
        """Wait for what runs, and end the threads; the next call makes others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


_all: weakref.WeakSet[Threads] = weakref.WeakSet()


def _after_fork() -> None:
    for threads in list(_all):
        threads.reset()


os.register_at_fork(after_in_child=_after_fork)


class DatabaseThreads(Threads):
    """Threads that work on the database `alias`, each on a connection of its own."""

    def __init__(self, alias: str, size: int = THREADS) -> None:
        super().__init__(f"memory-{alias}", size)
        self.alias = alias

    def reset(self) -> None:
        """As `Threads.reset`; connections are their process' too."""
        super().reset()
        self._waiting = self._running = 0
        self._connections: set[BaseDatabaseWrapper] = set()
        self._kept: set[BaseDatabaseWrapper] = set()

    async def run(self, function: Callable[[], T]) -> T:
        """As `Threads.run`, in the caller's transaction where there is one."""
        if waiting_thread() is not None:
            result = await sync_to_async(lambda: here_if_bound(self.alias, function))()
            if result is not ELSEWHERE:
                return result
        return await super().run(function)

    def call(self, function: Callable[[], T]) -> T:
        """As `Threads.call`, in the caller's transaction where there is one."""
        if _in_event_loop() and (waiting := waiting_thread()) is not None:
            result = waiting.submit(here_if_bound, self.alias, function).result()
            if result is not ELSEWHERE:
                return result
        return super().call(function)

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """As `Threads.submit`, on the thread's connection."""
        with self._lock:
            self._waiting += 1
        future = super().submit(lambda: self._on_connection(function))
        future.add_done_callback(self._uncount_if_cancelled)
        return future

    def close(self) -> None:
        """Wait for what runs, end the threads, and close the connections that they had."""
        super().close()
        if _in_event_loop():  # where Django forbids to close a connection
            closing = threading.Thread(target=self._close_connections)
            closing.start()
            closing.join()
        else:
            self._close_connections()

    def _close_connections(self) -> None:
        while self._connections:
            with shared(self._connections.pop()) as connection:
                connection.close()

    def _on_connection(self, function: Callable[[], T]) -> T:
        connection = connections[self.alias]
        with self._lock:
            self._waiting -= 1
            self._running += 1
            self._connections.add(connection)
            kept = connection in self._kept
            self._kept.discard(connection)
        if not kept:
            connection.close_if_unusable_or_obsolete()
        try:
            with in_turn if lives_in_memory(connection) else nullcontext():
                return function()
        finally:
            self._give_back(connection)

    def _give_back(self, connection: BaseDatabaseWrapper) -> None:
        # Opening one costs more than a query: while calls wait for a thread, it is kept for one of them.
        with self._lock:
            self._running -= 1
            if self._waiting and not connection.errors_occurred:
                self._kept.add(connection)
            else:
                connection.close_if_unusable_or_obsolete()
            while self._kept and not self._running and not self._waiting:
                with shared(self._kept.pop()) as idle:
                    idle.close_if_unusable_or_obsolete()

    def _uncount_if_cancelled(self, future: Future[Any]) -> None:
        if future.cancelled():  # before it began
            with self._lock:
                self._waiting -= 1


in_turn = threading.Lock()
"""Connections to one SQLite database in memory refuse each other's calls instead of waiting."""


@contextmanager
def shared(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Use an idle connection of another thread."""
    connection.inc_thread_sharing()
    try:
        yield connection
    finally:
        connection.dec_thread_sharing()


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


def lives_in_memory(connection: BaseDatabaseWrapper) -> bool:
    """Whether it is SQLite's with no file."""
    in_memory = getattr(connection, "is_in_memory_db", None)
    return in_memory is not None and bool(in_memory())


def here_if_bound(alias: str, function: Callable[[], T]) -> T:
    """The function's result if this thread's connection must be used; else `ELSEWHERE`, and nothing has been done."""
    connection = connections[alias]
    return function() if connection.in_atomic_block or lives_in_memory(connection) else ELSEWHERE
