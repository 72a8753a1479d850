"""Runs several querysets concurrently, where Django would run them in sequence.

lines, total = fetch([Line.objects.filter(text="a").values_list("id")[:5], Counted(Line.objects.all())])
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet

from .query import analysis
from .query.plan import Aggregate, Function, Nearest, Query
from .query.planner import plan
from .statements import Text
from .values.sizes import ByteBudget

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Counted:
    """Requests the number of rows of a queryset; of a slice, at most its length."""

    queryset: QuerySet[Any]


VENDOR: Final = "firestore"

Fetchable: TypeAlias = QuerySet[Any] | Counted


@dataclass(frozen=True)
class _Prepared:
    """A queryset with its read; None if it needs more than one call, or none."""

    source: Fetchable
    read: Query | Nearest | Aggregate | None = None
    compiler: Any = None
    rows: analysis.RowAnalysis | None = None

    def answer_from(self, found: Iterator[list[Row]], connection: Any) -> list[Row] | int:
        """The same, as a statement that takes the next of what was read."""
        return self.answer(connection.statement(self.text, partial(next, found)))

    def text(self) -> Text:
        """The query in SQL."""
        sql, params = self.compiler.text()
        return ("SELECT COUNT(*) FROM (" + sql + ")" if isinstance(self.source, Counted) else sql), params  # noqa: S608

    def answer(self, found: Iterable[Row]) -> list[Row] | int:
        """The rows like the queryset's own, or their number."""
        if isinstance(self.read, Aggregate):
            return int(next(iter(found))[0])
        rows = self.compiler.output_rows(self.rows, iter(found))
        return list(self.compiler.results_iter(results=[rows], tuple_expected=True))


def fetch(
    sources: Sequence[Fetchable], *, locks: bool = True, budget: ByteBudget | None = None
) -> list[list[Row] | int]:
    """The results of querysets of one database: rows as tuples, like `values_list()`, and a number for each `Counted`.

    Querysets with a single native read run concurrently, the others in sequence. Inside `atomic()` all run in sequence
    and are part of the transaction. With `locks=False`, if the transaction has read and written nothing yet, they run
    concurrently outside of it, so the rows may change before its commit. On other engines they run in sequence.

    Rows beyond the `budget`, if any, are left out: those of the querysets that come first are kept.
    """
    allowed = budget or ByteBudget(sys.maxsize)
    if not sources:
        return []
    connection: Any = connections[_queryset(sources[0]).db]
    if connection.vendor != VENDOR:
        return [_fetch_one(source, allowed) for source in sources]
    if connection.unit is not None and (locks or not connection.unit.is_untouched):
        return [_fetch_one(source, allowed) for source in sources]
    prepared = [_prepare(source) for source in sources]
    reads = [query.read for query in prepared if query.read is not None]
    with connection.cursor() as cursor, closing(cursor.run_concurrently(reads, budget)) as found:
        return [
            query.answer_from(found, connection) if query.read is not None else _fetch_one(query.source, allowed)
            for query in prepared
        ]


def _queryset(source: Fetchable) -> QuerySet[Any]:
    return source.queryset if isinstance(source, Counted) else source


def _fetch_one(source: Fetchable, budget: ByteBudget) -> list[Row] | int:
    if isinstance(source, Counted):
        return source.queryset.count()
    compiler = source.query.get_compiler(using=source.db)
    return list(budget.take(compiler.results_iter(tuple_expected=True)))


def _prepare(source: Fetchable) -> _Prepared:
    queryset = _queryset(source)
    compiler: Any = queryset.query.get_compiler(using=queryset.db)
    try:
        rows = analysis.analyze(compiler, compiler.setup())
    except EmptyResultSet:
        return _Prepared(source)
    if isinstance(rows, analysis.AggregateAnalysis) or queryset.query.select_for_update:
        return _Prepared(source)
    compiler.copy_select_list()
    if isinstance(source, Counted):
        counted = plan(rows.select)
        counted = compiler.with_index(counted)
        read = Aggregate(counted, Function.COUNT) if isinstance(counted, Query) else None
        return _Prepared(source, read, compiler, rows)
    answer = compiler.with_index(analysis.plan_rows(rows))
    return _Prepared(source, answer if isinstance(answer, Query | Nearest) else None, compiler, rows)
