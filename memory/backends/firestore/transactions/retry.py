"""`run_in_transaction`: runs a function in a transaction and retries it on contention.

`atomic()` cannot run its block again, so code that uses it must handle `Contention` itself.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, TypeVar, cast, overload

from asgiref.sync import async_to_sync, sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Model
from django.db.transaction import TransactionManagementError

from memory.backends import telemetry

from ..errors import Contention
from ..values.backoff import Backoff

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

ATTEMPTS: Final = 5
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Backoff in seconds, with full jitter: the upper bound doubles from the first to the longest pause."""

__all__ = ["retry", "run_in_transaction", "with_restored_state"]


@overload
def run_in_transaction(function: Callable[[], T], *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> T: ...
@overload
def run_in_transaction(*, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> Callable[[F], F]: ...


def run_in_transaction(
    function: Callable[[], Any] | None = None, *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS
) -> Any:
    """Calls `function` inside `atomic()`, retries it on contention, and returns its result.

    The function may be called up to `attempts` times, so its side effects outside of the database must be repeatable.
    `transaction.on_commit` hooks run once, after the successful attempt. For an `async` function it returns a
    coroutine; queries run in the thread of Django's asynchronous interface, one transaction at a time.

    Without a function it returns a decorator, for functions with any arguments::

        run_in_transaction(move_money)
        await run_in_transaction(move_money_async)

        @run_in_transaction(attempts=10)
        def move(sender, receiver, amount): ...

    Raises `Contention` (an `OperationalError`) if all attempts fail with it, and `TransactionManagementError` inside
    another transaction, because an inner block cannot be retried on its own. On other engines it is `atomic()`.
    """
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, not {attempts}.")
    if function is None:
        return functools.partial(_decorated, attempts=attempts, using=using)
    if inspect.iscoroutinefunction(function):
        return _decorated(function, attempts=attempts, using=using)()
    return _run(function, attempts, using)


def retry(function: Callable[[], T], *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> T:
    """Calls a function that opens its own transaction, and retries it on contention.

    Contention after a commit, raised by an `on_commit` hook, is not retried.
    """
    connection = connections[using]
    commits: list[int] = []

    def attempt(number: int) -> T:
        commits.append(getattr(connection, "commits", 0))
        return function()

    with getattr(connection, "retrying", nullcontext)():
        return retry_on_contention(attempt, attempts, lambda: getattr(connection, "commits", 0) == commits[-1])


def retry_on_contention(attempt: Callable[[int], T], attempts: int, may_retry: Callable[[], bool]) -> T:
    """Calls `attempt` with 0, 1, ... until it raises no `Contention`, with pauses. The last `Contention` is raised.

    `may_retry` returns whether a failed attempt can be repeated.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    for number in range(attempts - 1):
        try:
            return attempt(number)
        except Contention:
            if not may_retry():
                raise
        telemetry.record_retry("transaction")
        time.sleep(backoff.next_pause())
    return attempt(attempts - 1)


def with_restored_state(records: Sequence[Model], attempt: Callable[[], T]) -> Callable[[], T]:
    """An attempt that first restores the records' state: before the commit, Django sets the primary keys of new records
    and clears those of deleted ones."""
    states = [(record, record.pk, record._state.adding, record._state.db) for record in records]

    def run() -> T:
        for record, pk, adding, alias in states:
            record.pk, record._state.adding, record._state.db = pk, adding, alias
        return attempt()

    return run


def _decorated(function: F, *, attempts: int, using: str) -> F:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return _run(functools.partial(function, *args, **kwargs), attempts, using)

    @functools.wraps(function)
    async def run_async(*args: Any, **kwargs: Any) -> Any:
        # The coroutine's queries run in the thread that waits for it here, and so in its transaction.
        attempt = functools.partial(async_to_sync(function), *args, **kwargs)
        return await sync_to_async(_run)(attempt, attempts, using)

    return cast("F", run_async if inspect.iscoroutinefunction(function) else run)


def _run(function: Callable[[], T], attempts: int, using: str) -> T:
    _refuse_inside_another(using)

    def attempt() -> T:
        with transaction.atomic(using=using, durable=True):
            return function()

    return retry(attempt, attempts=attempts, using=using)


def _refuse_inside_another(using: str) -> None:
    connection = connections[using]
    blocks = connection.atomic_blocks
    inside = bool(blocks) and not blocks[-1]._from_testcase  # type: ignore[attr-defined]
    if inside or (not blocks and not connection.get_autocommit()):
        raise TransactionManagementError(
            "run_in_transaction() cannot be used inside another transaction, since it could not be retried on its own: "
            "call the function directly there, and use run_in_transaction() for the outermost block."
        )
