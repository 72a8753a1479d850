"""Writes that met others on Firestore, run again: docs/transactions.md, "Contention"."""

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
"""How often one write is begun. Of writers that meet at one session's row, each round lets one or two through."""


def retry_on_contention(write: Write) -> Write:
    """A record's, a queryset's or a store's write, run again where it met others on Firestore.

    Two writers of one conversation meet at its session's row. Inside a transaction of the caller's, the caller alone
    could run all of it again.
    """

    @wraps(write)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        using = kwargs.get("using") or getattr(self, "db", None) or router.db_for_write(type(self), instance=self)
        connection = connections[using]
        if connection.vendor != "firestore" or in_transaction(connection):
            return write(self, *args, **kwargs)
        from memory.backends.firestore.transactions.retry import (  # slow to import, and of use there alone
            retry,
            with_restored_state,
        )

        # An iterator would be empty the second time.
        args = tuple(_kept(value) for value in args)
        attempt = partial(write, self, *args, **{name: _kept(value) for name, value in kwargs.items()})
        return retry(
            with_restored_state([self] if isinstance(self, Model) else [], attempt), attempts=ATTEMPTS, using=using
        )

    return cast("Write", run)


def _kept(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction is open; unlike `get_autocommit()` it opens no connection to find out."""
    return connection.in_atomic_block or not (connection.connection is None or connection.autocommit)
