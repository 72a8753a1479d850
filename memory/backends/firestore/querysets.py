"""A queryset with `without_index()`, whose `update_or_create()` is retried on contention on Firestore.

    class Counter(models.Model):
        name = models.CharField(max_length=50, unique=True)
        objects = FirestoreManager()

Django's method reads the row in a transaction and then writes it. On SQL databases concurrent transactions wait for the
row. Firestore aborts one of them, and only the code that opened the transaction can retry it. On other engines, and
inside a transaction, this queryset behaves like Django's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self, TypeVar

from django.db import connections
from django.db.models import Manager, Model, QuerySet

from .statements import PLANS_AROUND_INDEXES

ModelT = TypeVar("ModelT", bound=Model)


class FirestoreQuerySet(QuerySet[ModelT]):
    """Django's queryset with a different `update_or_create()` outside of a transaction on Firestore."""

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[ModelT, bool]:
        """Like Django's, but without locks. If another client writes the row concurrently, it retries up to 20 times.

        Callables in the defaults, and signals, run in each attempt. Raises `Contention` if all attempts fail.
        """
        attempt = partial(super().update_or_create, defaults, create_defaults, **kwargs)
        self._for_write = True  # as in Django's method, so that the router returns a database for writing
        connection: Any = connections[self.db]
        if connection.vendor != "firestore" or connection.in_atomic_block or not connection.get_autocommit():
            return attempt()
        from .transactions.repeat import ATTEMPTS  # these import grpc, which is not needed on other engines
        from .transactions.retry import retry

        with connection.optimistic():
            return retry(attempt, attempts=ATTEMPTS, using=self.db)

    def without_index(self) -> Self:
        """Answers in memory if no index serves the query, where it would otherwise raise `MissingIndex`.

        The rows of the conditions that indexes serve are read, at most `OPTIONS["mirror_limit"]` documents; with more
        it raises `QueryTooBroad`. The indexes are those of the manifest of `OPTIONS["require_indexes"]`, or else those
        that the models declare. On other engines this does nothing.
        """
        clone: Self = self._chain()  # type: ignore[attr-defined]
        setattr(clone.query, PLANS_AROUND_INDEXES, True)
        return clone

    update_or_create.alters_data = True  # type: ignore[attr-defined]


FirestoreManager = Manager.from_queryset(FirestoreQuerySet)
