"""`update_or_create()` and `bulk_create(update_conflicts=True)` outside of a block: without locks, and again where they
lost a race.

Django opens the block, so nobody else could run it again. On SQL it relies on the database to let others wait where
two want one row; Firestore aborts one of the two instead. So the block is optimistic here (`UnitOfWork`): its commit
demands that the row is as it was read, and where it is not, the method is called again. On other engines, and inside
of a transaction, nothing is different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any, Final, TypeAlias

from django.db import connections
from django.db.models import QuerySet

from .retry import retry, with_restored_state

Method: TypeAlias = Callable[..., Any]

ATTEMPTS: Final = 20
"""Each round of those who want one row lets one of them pass, and the pauses between them grow."""


def install() -> None:
    """Have Django's querysets do so, once for a process."""
    if not hasattr(QuerySet.update_or_create, "__wrapped__"):
        QuerySet.update_or_create = _update_or_create(QuerySet.update_or_create)  # type: ignore[method-assign]
        QuerySet.bulk_create = _bulk_create(QuerySet.bulk_create)  # type: ignore[method-assign]


def _update_or_create(method: Method) -> Method:
    @wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = partial(method, self, *args, **kwargs)
        return _raced(self, attempt) if _is_concerned(self) else attempt()

    return run


def _bulk_create(method: Method) -> Method:
    @wraps(method)
    def run(self: Any, objs: Iterable[Any], *args: Any, **options: Any) -> Any:
        if not options.get("update_conflicts") or not _is_concerned(self):
            return method(self, objs, *args, **options)
        rows = list(objs)
        return _raced(self, with_restored_state(rows, partial(method, self, rows, *args, **options)))

    return run


def _is_concerned(rows: Any) -> bool:
    """Whether a queryset writes to Firestore, outside of any transaction."""
    rows._for_write = True  # as both methods do: the router is asked for a database to write to
    connection: Any = connections[rows.db]
    return connection.vendor == "firestore" and not connection.in_atomic_block and connection.get_autocommit()


def _raced(rows: Any, attempt: Callable[[], Any]) -> Any:
    connection: Any = connections[rows.db]
    with connection.optimistic():
        return retry(attempt, attempts=ATTEMPTS, using=rows.db)
