"""Contention and unknown outcomes of writes: transactions that take SQLite's lock at their beginning, and retries after
contention on Firestore (docs/transactions.md).
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial, wraps
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db import OperationalError, connections, router, transaction
from django.db.models import Model

from .backends import clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Write = TypeVar("Write", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")

# By a hash of the key. Reentrant, since a write's `on_commit` hook may write too.
TURNS = tuple(RLock() for _ in range(64))
LONGEST_TURN = 20.0
"""Seconds that a writer waits for others: on Firestore for those of its process, after which it tries without its turn;
on SQLite for the lock of the database."""

MOST_TURNS = 8
"""Keys whose turns one writer waits for."""

ATTEMPTS = 10
"""Attempts of one write. Of writers that contend for one row, one or two succeed per attempt."""


def retry_on_contention(write: Write) -> Write:
    """Decorates a write of a record, a queryset or a store: it is retried after contention on Firestore.

    Two writers that change one record contend for it. Inside a transaction of the caller there is no retry:
    only the caller can run all of it again.
    """

    @wraps(write)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        using = kwargs.get("using") or getattr(self, "db", None) or router.db_for_write(type(self), instance=self)
        # An iterator would be empty at the second attempt.
        args = tuple(_kept(value) for value in args)
        attempt = partial(write, self, *args, **{name: _kept(value) for name, value in kwargs.items()})
        return retried_on_contention(attempt, using=using, records=[self] if isinstance(self, Model) else [])

    return cast("Write", run)


def retried_on_contention(
    attempt: Callable[[], ResultT], *, using: str, records: Sequence[Model] = (), keys: Collection[Hashable] = ()
) -> ResultT:
    """The result of `attempt()`, which opens its own transaction; it is retried after contention on Firestore.

    `records` are those that it writes: their keys and states are restored before each attempt. Threads of a process
    that change the same stored record, or have one of `keys` in common (ids of what they read and change), take turns.
    Inside a transaction of the caller there is no retry.
    """
    connection = connections[using]
    if connection.vendor != "firestore" or in_transaction(connection):
        return attempt()
    from memory.backends.firestore.transactions.retry import (  # slow to import: Google's client
        retry,
        with_restored_state,
    )

    with turns_of(using, [*keys, *stored_key(records)]):
        return retry(with_restored_state(records, attempt), attempts=ATTEMPTS, using=using)


def retried(
    function: Callable[[], ResultT], error: type[Exception] | tuple[type[Exception], ...], attempts: int
) -> ResultT:
    """The function's result, after at most this many attempts, without pauses, while it raises this error."""
    for _ in range(attempts - 1):
        try:
            return function()
        except error:
            continue
    return function()


@contextmanager
def write_transaction(using: str, *, savepoint: bool = True) -> Iterator[None]:
    """`atomic()` for writes. On SQLite it takes the lock of the database at its beginning.

    By default SQLite takes the lock at the first write. If the transaction has read before, and another writer has
    committed since, that fails at once, whatever the timeout. A transaction of the caller stays as it is.
    """
    block = transaction.atomic(using=using, savepoint=savepoint)
    connection = connections[using]
    with ExitStack() as stack:
        if connection.vendor == "sqlite" and not in_transaction(connection):
            _enter_locked(stack, block, connection)
        else:
            stack.enter_context(block)
        yield


def write_lock(using: str) -> AbstractContextManager[None]:
    """For writes that need no transaction of their own: on SQLite `write_transaction`, elsewhere or in one nothing."""
    connection = connections[using]
    is_needed = connection.vendor == "sqlite" and not in_transaction(connection)
    return write_transaction(using) if is_needed else nullcontext()


def _enter_locked(stack: ExitStack, block: transaction.Atomic, connection: Any) -> None:
    """Begin a transaction with SQLite's lock, waiting for it up to `LONGEST_TURN` seconds in all."""
    connection.ensure_connection()  # which sets the mode
    configured, until = connection.transaction_mode, clock.monotonic() + LONGEST_TURN
    connection.transaction_mode = "EXCLUSIVE" if configured == "EXCLUSIVE" else "IMMEDIATE"
    try:
        while True:
            try:
                stack.enter_context(block)
            except OperationalError as error:  # each attempt has waited for OPTIONS["timeout"]
                if not is_contention(error) or clock.monotonic() > until:
                    raise
            else:
                return
    finally:
        connection.transaction_mode = configured


def stored_key(records: Sequence[Model]) -> list[Hashable]:
    """The key of a single stored record. A new record has no other writer."""
    return [record.pk for record in records if not record._state.adding] if len(records) == 1 else []


@contextmanager
def turns_of(using: str, keys: Collection[Hashable]) -> Iterator[None]:
    """Wait for this process's other writers of the same keys, at most `LONGEST_TURN` seconds.

    Without turns most of them wait for its lock in the database and are then aborted. Writers of many keys wait for
    those of the smallest ones.
    """
    some = keys if len(keys) <= MOST_TURNS else sorted(keys, key=str)[:MOST_TURNS]
    until = clock.monotonic() + LONGEST_TURN
    with ExitStack() as stack:
        for number in sorted({hash((using, key)) % len(TURNS) for key in some}):  # in one order: no deadlock
            if TURNS[number].acquire(timeout=max(0.0, until - clock.monotonic())):
                stack.callback(TURNS[number].release)
        yield


def engine_error(name: str) -> type[Exception] | tuple[()]:
    """The class of this name in the Firestore engine's `errors`, for `isinstance`; () where no Firestore is used.

    Importing the engine takes Google's client, so it is not imported for a project on another database.
    """
    found: type[Exception] | tuple[()] = getattr(sys.modules.get("memory.backends.firestore.errors"), name, ())
    return found


def is_contention(error: BaseException) -> bool:
    """Whether a write failed only since others wrote at the same time. Nothing was written; a retry may succeed."""
    if isinstance(error, engine_error("Contention")):
        return True
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_outcome_unknown(error: BaseException) -> bool:
    """Whether it is unknown if a write was applied. Repeating it may apply it twice."""
    return isinstance(error, engine_error("OutcomeUnknown"))


def _kept(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction is open. Unlike `get_autocommit()`, does not open a connection."""
    return connection.in_atomic_block or not (connection.connection is None or connection.autocommit)
