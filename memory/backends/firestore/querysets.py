"""A queryset whose `update_or_create()` is run again on Firestore where it lost a race.

    class Counter(models.Model):
        name = models.CharField(max_length=50, unique=True)
        objects = FirestoreManager()

Django's method reads the row in a transaction and then writes it. SQL databases let others wait for the row; Firestore
aborts one of the two, and only the caller of the block can run it again. On other engines, and inside a transaction,
this queryset does what Django's does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeVar

from django.db import connections
from django.db.models import Manager, Model, QuerySet

ModelT = TypeVar("ModelT", bound=Model)

ATTEMPTS: Final = 20
"""Each round of those who want one row lets one of them pass, and the pauses between them grow."""


class FirestoreQuerySet(QuerySet[ModelT]):
    """Django's queryset, but for `update_or_create()` outside of a transaction on Firestore."""

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[ModelT, bool]:
        """As Django's, without locks, and again where somebody else wrote the row meanwhile, up to 20 times.

        Callables among the defaults and signals run in each attempt. Raises `Contention` if all attempts met others.
        """
        attempt = partial(super().update_or_create, defaults, create_defaults, **kwargs)
        self._for_write = True  # as Django's method does: the router is asked for a database to write to
        connection: Any = connections[self.db]
        if connection.vendor != "firestore" or connection.in_atomic_block or not connection.get_autocommit():
            return attempt()
        from .transactions.retry import retry  # imports grpc, which other engines do not need

        with connection.optimistic():
            return retry(attempt, attempts=ATTEMPTS, using=self.db)

    update_or_create.alters_data = True  # type: ignore[attr-defined]


FirestoreManager = Manager.from_queryset(FirestoreQuerySet)
