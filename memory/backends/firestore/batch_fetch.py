"""Several querysets at once: one round of calls, where Django would wait for each before it sends the next.

lines, total = fetch([Line.objects.filter(text="a").values_list("id")[:5], Counted(Line.objects.all())])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet

from .query import analysis
from .query.plan import Aggregate, Function, Nearest, Query
from .query.planner import plan

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Counted:
    """How many rows a queryset has; of a slice, no more than it takes are counted."""

    queryset: QuerySet[Any]


VENDOR: Final = "firestore"

Asked: TypeAlias = QuerySet[Any] | Counted


@dataclass(frozen=True)
class _Prepared:
    """What one of them asks of Firestore; None where it takes more, or less, than one call."""

    asked: Asked
    read: Query | Nearest | Aggregate | None = None
    compiler: Any = None
    rows: analysis.Rows | None = None

    def answer(self, found: Iterable[Row]) -> list[Row] | int:
        """The rows as the queryset selects them, or their number."""
        if isinstance(self.read, Aggregate):
            return int(next(iter(found))[0])
        shaped = self.compiler.shaped(self.rows, iter(found))
        return list(self.compiler.results_iter(results=[shaped], tuple_expected=True))


def fetch(asked: Sequence[Asked], *, locks: bool = True) -> list[list[Row] | int]:
    """For each queryset its rows as tuples, in select order and converted as `values_list` has them; for each
    `Counted` a number. All are of one database. What is no single native read is asked by itself, as always; inside
    `atomic()` all are, one after the other, and take part in the transaction. Without `locks` they do not, if they
    would be the first thing that it sees: what they read may change before it commits. On other engines they are asked
    one after the other.
    """
    if not asked:
        return []
    connection: Any = connections[_queryset(asked[0]).db]
    if connection.vendor != VENDOR:
        return [_alone(one) for one in asked]
    if connection.unit is not None and (locks or not connection.unit.is_untouched):
        return [_alone(one) for one in asked]
    prepared = [_prepared(one) for one in asked]
    reads = [one.read for one in prepared if one.read is not None]
    with connection.cursor() as cursor:
        found = iter(cursor.run_concurrently(reads))
    return [one.answer(next(found)) if one.read is not None else _alone(one.asked) for one in prepared]


def _queryset(asked: Asked) -> QuerySet[Any]:
    return asked.queryset if isinstance(asked, Counted) else asked


def _alone(asked: Asked) -> list[Row] | int:
    if isinstance(asked, Counted):
        return asked.queryset.count()
    compiler = asked.query.get_compiler(using=asked.db)
    return list(compiler.results_iter(tuple_expected=True))


def _prepared(asked: Asked) -> _Prepared:
    queryset = _queryset(asked)
    compiler: Any = queryset.query.get_compiler(using=queryset.db)
    try:
        rows = analysis.ask(compiler, compiler.setup())
    except EmptyResultSet:
        return _Prepared(asked)
    if isinstance(rows, analysis.Numbers) or queryset.query.select_for_update:
        return _Prepared(asked)
    compiler.adopt()
    if isinstance(asked, Counted):
        source = plan(rows.select)
        read = Aggregate(source, Function.COUNT) if isinstance(source, Query) else None
        return _Prepared(asked, read, compiler, rows)
    answer = analysis.answer(rows)
    return _Prepared(asked, answer if isinstance(answer, Query | Nearest) else None, compiler, rows)
