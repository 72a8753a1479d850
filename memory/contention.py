"""Retries of writes after contention on Firestore: docs/transactions.md, "Contention"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db import connections, router
from django.db.models import Model

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Write = TypeVar("Write", bound=Callable[..., Any])

ATTEMPTS = 10
"""Attempts of one write. Of writers that contend for one session's row, one or two succeed per attempt."""


def retry_on_contention(write: Write) -> Write:
    """Decorates a write of a record, a queryset or a store: it is retried after contention on Firestore.

    Two writers of one conversation contend for its session's row. Inside a transaction of the caller there is no retry:
    only the caller can run all of it again.
    """

    @wraps(write)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        using = kwargs.get("using") or getattr(self, "db", None) or router.db_for_write(type(self), instance=self)
        connection = connections[using]
        if connection.vendor != "firestore" or in_transaction(connection):
            return write(self, *args, **kwargs)
        from memory.backends.firestore.transactions.retry import (  # slow to import: Google's client
            retry,
            with_restored_state,
        )

        # An iterator would be empty at the second attempt.
        args = tuple(_kept(value) for value in args)
        attempt = partial(write, self, *args, **{name: _kept(value) for name, value in kwargs.items()})
        return retry(
            with_restored_state([self] if isinstance(self, Model) else [], attempt), attempts=ATTEMPTS, using=using
        )

    return cast("Write", run)


def _kept(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction is open. Unlike `get_autocommit()`, does not open a connection."""
    return connection.in_atomic_block or not (connection.connection is None or connection.autocommit)
