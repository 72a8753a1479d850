"""`run_in_transaction`: a block of code as one transaction, run again where others got in its way.

`atomic()` cannot run its block again; whoever uses it has to be ready for `Contention`. This is ready for it.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final, TypeVar, cast, overload

from asgiref.sync import async_to_sync, sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Model
from django.db.transaction import TransactionManagementError

from ..errors import Contention

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

ATTEMPTS: Final = 5
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts: a random part of a bound that doubles from the first to the longest."""

__all__ = ["retry", "run_in_transaction", "with_restored_state"]


@overload
def run_in_transaction(function: Callable[[], T], *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> T: ...
@overload
def run_in_transaction(*, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> Callable[[F], F]: ...


def run_in_transaction(
    function: Callable[[], Any] | None = None, *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS
) -> Any:
    """Call `function` inside `atomic()`, and again where its transaction met contention; what it returned.

    The function may be called `attempts` times, so what it does beside the database it must be able to do again;
    `transaction.on_commit` runs once, after the attempt that held. An `async` function is awaited: its queries run in
    the thread that Django's asynchronous interface uses, one transaction after the other.

    Without a function it makes a decorator, of functions with any arguments::

        run_in_transaction(move_money)
        await run_in_transaction(move_money_async)

        @run_in_transaction(attempts=10)
        def move(sender, receiver, amount): ...

    Raises `Contention` (an `OperationalError`) when all attempts met it, and `TransactionManagementError` inside
    another transaction, of which it would be a part that cannot be run again alone. On other engines it is `atomic()`.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}: a transaction needs at least one.")
    if function is None:
        return functools.partial(_decorated, attempts=attempts, using=using)
    if inspect.iscoroutinefunction(function):
        return _decorated(function, attempts=attempts, using=using)()
    return _run(function, attempts, using)


def retry(function: Callable[[], T], *, attempts: int = ATTEMPTS, using: str = DEFAULT_DB_ALIAS) -> T:
    """Call a function that makes a transaction of its own, and again where that met contention.

    Contention that comes after a commit, from a hook of `on_commit`, is no reason to do all of it again.
    """
    connection = connections[using]
    bound = FIRST_PAUSE
    with getattr(connection, "retrying", nullcontext)():
        for _ in range(attempts - 1):
            committed = getattr(connection, "commits", 0)
            try:
                return function()
            except Contention:
                if getattr(connection, "commits", 0) != committed:
                    raise
            time.sleep(random.uniform(0, bound))  # noqa: S311 - jitter, not a secret
            bound = min(LONGEST_PAUSE, bound * 2)
        return function()


def with_restored_state(records: Sequence[Model], attempt: Callable[[], T]) -> Callable[[], T]:
    """An attempt that finds records as the first did: Django gives new ones their keys, and takes a deleted one's,
    before the commit."""
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
        # The coroutine's queries come back to the thread that waits for it here, and so into its transaction.
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
            "run_in_transaction() inside another transaction could not run again alone: call the function itself "
            "there, and use run_in_transaction() around the outermost block."
        )
