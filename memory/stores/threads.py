"""Thread pools of the stores, so that awaited storage calls run concurrently.

Django's `sync_to_async` runs database calls one at a time on one thread. Here each call runs on a thread of a pool with
its own database connection, which is closed after the call according to `CONN_MAX_AGE`, like after a request. To open
an SQLite file takes as long as a write, so such connections stay open until the pool has been idle for a second.

The exception: a thread that waits for a call in `async_to_sync()` may be inside of a transaction (a `TestCase`, an
`atomic()` block). Another connection would not see its state, or would block forever, so the call runs on that thread
as part of the transaction.
"""

from __future__ import annotations

import asyncio
import atexit
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

from memory.backends import clock

T = TypeVar("T")

THREADS = 32
"""The default number of concurrent calls per store. Calls mostly wait for the network."""

IDLE_SECONDS = 1.0
"""How long connections to an SQLite file stay open after the last call."""

NOT_BOUND: Any = object()


class Threads:
    """A thread pool, created at its first use, and again in forked processes, which do not inherit threads."""

    def __init__(self, name: str, size: int = THREADS) -> None:
        self.name = name
        self.size = size
        self.reset()
        all_pools.add(self)

    def reset(self) -> None:
        """Reset all state after a fork, since threads and held locks belong to the parent."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Await a function's result. Cancelling does not stop a function that already runs."""
        return await asyncio.wrap_future(self.submit(function))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function synchronously; on a pool thread if an event loop runs in the current thread."""
        return self.submit(function).result() if _in_event_loop() else function()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Start a function on the pool, in a copy of the caller's context."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.size, thread_name_prefix=self.name)
            return self._pool.submit(contextvars.copy_context().run, function)

    def close(self) -> None:
        """Wait for running calls and end the threads. The next call creates new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


all_pools: weakref.WeakSet[Threads] = weakref.WeakSet()


def _after_fork() -> None:
    for threads in list(all_pools):
        threads.reset()


def _at_exit() -> None:
    for threads in list(all_pools):
        threads.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


class DatabaseThreads(Threads):
    """A pool whose threads have their own connections to the database `alias`."""

    def __init__(self, alias: str, size: int = THREADS) -> None:
        super().__init__(f"memory-{alias}", size)
        self.alias = alias

    def reset(self) -> None:
        """Like `Threads.reset`; connections also belong to the parent."""
        super().reset()
        self._waiting = self._running = 0
        self.known_connections: set[BaseDatabaseWrapper] = set()
        self._kept: set[BaseDatabaseWrapper] = set()
        self._idle_since = 0.0
        self._closer: Closer | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Like `Threads.run`, but in the caller's transaction if there is one."""
        if waiting_thread() is not None:
            result = await sync_to_async(lambda: call_if_bound(self.alias, function))()
            if result is not NOT_BOUND:
                return result
        return await super().run(function)

    def call(self, function: Callable[[], T]) -> T:
        """Like `Threads.call`, but in the caller's transaction if there is one."""
        if _in_event_loop() and (waiting := waiting_thread()) is not None:
            result = waiting.submit(call_if_bound, self.alias, function).result()
            if result is not NOT_BOUND:
                return result
        return super().call(function)

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Like `Threads.submit`, with the thread's connection."""
        with self._lock:
            self._waiting += 1
        future = super().submit(lambda: self._on_connection(function))
        future.add_done_callback(self._uncount_if_cancelled)
        return future

    def close(self) -> None:
        """Wait for running calls, end the threads, and close their connections."""
        super().close()
        with self._lock:
            closer, self._closer = self._closer, None
            self._kept.clear()
        if closer is not None:
            closer.end()
        if _in_event_loop():  # Django forbids closing a connection here
            closing = threading.Thread(target=self._close_connections)
            closing.start()
            closing.join()
        else:
            self._close_connections()

    def _close_connections(self) -> None:
        while self.known_connections:
            with shared(self.known_connections.pop()) as connection:
                connection.close()

    def _on_connection(self, function: Callable[[], T]) -> T:
        connection = connections[self.alias]
        with self._lock:
            self._waiting -= 1
            self._running += 1
            self.known_connections.add(connection)
            kept = connection in self._kept
            self._kept.discard(connection)
        if not kept:
            connection.close_if_unusable_or_obsolete()
        try:
            with in_memory_lock if is_in_memory(connection) else nullcontext():
                return function()
        finally:
            self._give_back(connection)

    def _give_back(self, connection: BaseDatabaseWrapper) -> None:
        # Opening a connection costs more than a query, so it is kept while calls are queued.
        stays_open = is_sqlite_file(connection)
        with self._lock:
            self._running -= 1
            if (self._waiting or stays_open) and not connection.errors_occurred:
                self._kept.add(connection)
            else:
                connection.close_if_unusable_or_obsolete()
            if self._running or self._waiting:
                return
            self._idle_since = clock.monotonic()
            if not stays_open:
                self._close_kept()
            elif self._closer is None:
                self._closer = Closer(self._close_if_idle)

    def _close_if_idle(self) -> bool:
        """Close kept connections after `IDLE_SECONDS` without a call; return whether they were closed."""
        with self._lock:
            if self._running or self._waiting or clock.monotonic() - self._idle_since < IDLE_SECONDS:
                return False
            self._close_kept()
            self._closer = None
            return True

    def _close_kept(self) -> None:
        while self._kept:
            with shared(self._kept.pop()) as idle:
                idle.close_if_unusable_or_obsolete()

    def _uncount_if_cancelled(self, future: Future[Any]) -> None:
        if future.cancelled():  # before it started
            with self._lock:
                self._waiting -= 1


class Closer:
    """A thread that calls `is_done` each `IDLE_SECONDS` until it returns True."""

    def __init__(self, is_done: Callable[[], bool]) -> None:
        self._is_done = is_done
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-idle", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(IDLE_SECONDS):
            if self._is_done():
                return

    def end(self) -> None:
        """End the thread, and wait for it."""
        self._ended.set()
        self._thread.join()


in_memory_lock = threading.Lock()
"""Serializes calls on in-memory SQLite databases, whose connections fail instead of waiting for each other."""


@contextmanager
def shared(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Use another thread's idle connection."""
    connection.inc_thread_sharing()
    try:
        yield connection
    finally:
        connection.dec_thread_sharing()


def waiting_thread() -> Executor | None:
    """The executor of the thread that waits for the current code in `async_to_sync()`, or None."""
    executor: Executor | None = getattr(AsyncToSync.executors, "current", None)
    return executor


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection is to an in-memory SQLite database."""
    in_memory = getattr(connection, "is_in_memory_db", None)
    return in_memory is not None and bool(in_memory())


def is_sqlite_file(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection is to an SQLite database in a file."""
    return connection.vendor == "sqlite" and not is_in_memory(connection)


def call_if_bound(alias: str, function: Callable[[], T]) -> T:
    """Call the function if this thread's connection must be used; else return `NOT_BOUND` without calling it."""
    connection = connections[alias]
    return function() if connection.in_atomic_block or is_in_memory(connection) else NOT_BOUND
