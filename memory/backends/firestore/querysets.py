"""A queryset with `without_index()`, whose `update_or_create()` is retried on contention on Firestore.

    class Counter(models.Model):
        name = models.CharField(max_length=50, unique=True)
        objects = FirestoreManager()

Django's method reads the row in a transaction and then writes it. On SQL databases concurrent transactions wait for the
row. Firestore aborts one of them, and only the code that opened the transaction can retry it. On other engines, and
inside a transaction, this queryset behaves like Django's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from django.db import connections
from django.db.models import Manager, Model, Q, QuerySet
from django.db.models.sql import InsertQuery
from django.db.models.sql.where import WhereNode

from .statements import PLANS_AROUND_INDEXES
from .widening import conflict_clause

ModelT = TypeVar("ModelT", bound=Model)


class LocalNode(WhereNode):
    """A part of a WHERE clause that is evaluated on the rows which match the rest. SQL databases evaluate it as any."""

    is_local: ClassVar[bool] = True


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

    def filter_locally(self, condition: Q) -> Self:
        """`filter()` by a condition on columns of the model, for which Firestore needs no index.

        Firestore is asked for the rows that match the rest of the query, in its order, and those that match are kept,
        until there are as many as the slice has. A few rows more are read than are returned, and a count reads rows.
        On other engines this is `filter()`.
        """
        clone: Self = self._chain()  # type: ignore[attr-defined]
        query: Any = clone.query
        query.where.children.append(LocalNode([query.build_where(condition)]))  # add() would take it apart
        return clone

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def widen(
        self,
        objs: Iterable[ModelT],
        *,
        same: Collection[str] = (),
        least: Collection[str] = (),
        greatest: Collection[str] = (),
    ) -> None:
        """Creates rows, or moves bounds of existing ones outwards: one statement without a read.

        Of an existing row, fields in `least` get the object's value if it is less, those in `greatest` if it is
        greater, and the others stay. Rows are found by their primary keys, and concurrent calls do not conflict.

        On Firestore the bounds must be numbers, for example a `memory.fields.BoundField`, and `same` names the fields
        that depend on the key alone. A new document has these and the bounds. It lacks the other fields, whose classes
        must have an `absent_value`, as `memory.fields.SparseMapField`: it is read and compared in their place.
        `save()` and its signals are not used. Raises `NotSupportedError` for other fields, for constraints, and on
        Oracle.
        """
        self._for_write = True
        connection: Any = connections[self.db]
        meta: Any = self.model._meta
        query = InsertQuery(self.model)
        query.insert_values(meta.local_concrete_fields, list(objs))
        if not query.objs:
            return
        bounds = [[meta.get_field(name) for name in names] for names in (least, greatest)]
        if connection.vendor == "firestore":
            from .compilers.widen import widen  # imports grpc, which is not needed on other engines

            widen(connection, query, {meta.get_field(name).column for name in same}, *bounds)
            return
        clause = conflict_clause(connection, self.model, *bounds)
        compiler: Any = query.get_compiler(using=self.db)
        with connection.cursor() as cursor:
            for sql, params in compiler.as_sql():
                cursor.execute(f"{sql} {clause}", params)

    widen.alters_data = True  # type: ignore[attr-defined]


FirestoreManager = Manager.from_queryset(FirestoreQuerySet)
