"""Aggregates over a table that the transaction has written to.

Firestore aggregates its own rows. The transaction then takes off what its changed rows were, and adds what they are:

    count   of Firestore - stored versions of the changed rows + own rows
    sum     the same, of integers
    min     the least of Firestore's rows without the changed ones, and of the own rows

The evaluator of conditions, or SQLite where it cannot, decides which versions match. So as many documents are read as
the transaction changed, and one for a minimum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet

from ..errors import integer_overflow
from ..mirror.tables import Table
from ..query.analysis import AggregateAnalysis, AggregateColumn
from ..query.ast import Condition, Select, all_of
from ..query.evaluate import columns_of, holds, is_evaluable, sort_key
from ..query.lowering import column_ref
from ..query.normalize import negation_normal_form
from ..query.plan import Aggregate, Compare, Function, Merge, Op, Query, collections_of
from ..query.planner import plan
from ..rpc import codec
from ..values.sortable_text import INT64
from ..values.types import Kind, Ref

Values = Mapping[str, Any]
"""A row's codec values by column."""


class _SumUnknownError(Exception):
    """Firestore's sum exceeds 64 bits, so that it is a rounded float. SQLite sums the rows."""


@dataclass(frozen=True, slots=True)
class Change:
    """The rows of a table that a transaction has changed, as far as they match: as they are stored, and its own."""

    stored: Sequence[Values]
    own: Sequence[Values]


def corrected_row(compiler: Any, analyzed: AggregateAnalysis) -> tuple[Any, ...] | None:
    """The values of aggregates; None if they cannot be corrected, so that the mirror has to read the rows."""
    sources = [_source(compiler, column) for column in analyzed.aggregates]
    if analyzed.unsupported or not sources or None in sources:
        return None
    if not compiler.connection.unit.touches(sources[0]):
        return None
    changed = _change(compiler, sources[0], analyzed.where)
    if changed is None:
        return None
    columns = zip(analyzed.aggregates, sources, strict=True)
    try:
        return tuple(_value(compiler, column, source, changed) for column, source in columns)
    except _SumUnknownError:
        return None


def _source(compiler: Any, column: AggregateColumn) -> Query | Merge | None:
    """What Firestore aggregates, without a slice; None if the aggregate cannot be corrected."""
    select = replace(column.select, limit=None, offset=0)
    if column.function is Function.COUNT:
        return _planned(compiler, select)
    if select != column.select:
        return None
    if column.extreme is not None:
        ref = column.extreme.ref
        return _planned(compiler, replace(_present(select, ref), columns=(ref,), orders=(column.extreme,), limit=1))
    if column.ref is None or column.ref.kind is not Kind.INTEGER:  # sums of floats depend on their order
        return None
    found, present = _planned(compiler, select, [column.ref]), _planned(compiler, _present(select, column.ref))
    return found if isinstance(found, Query) and isinstance(present, Query) else None


def _present(select: Select, ref: Ref) -> Select:
    """The rows whose column is not null."""
    return replace(select, where=all_of([select.where, Compare(ref, Op.IS_NOT_NULL)]))


def _planned(compiler: Any, select: Select, aggregated: Sequence[Ref] = ()) -> Query | Merge | None:
    found = plan(select)
    if not isinstance(found, Query | Merge):
        return None
    served: Query | Merge | None = compiler.served(found, aggregated)
    return served  # without an index the mirror reads the rows by other conditions


def _change(compiler: Any, source: Any, where: Condition) -> Change | None:
    """The changed rows that match; None if too many are stored."""
    [collection] = collections_of(source)
    unit, table = compiler.connection.unit, compiler.tables()[collection]
    if unit.stored_count(collection) > compiler.connection.option("mirror_limit"):
        return None
    fields = [field for field in table.fields.values() if not field.generated]
    refs = tuple(column_ref(field, compiler.connection) for field in fields)
    stored, own = unit.changed_rows(source, refs)
    names = [str(field.column) for field in fields]
    condition = negation_normal_form(where)
    if is_evaluable(condition) and set(refs).issuperset(columns_of(condition)):
        matches = holds(condition, refs, codec.as_read)
        return Change(*([dict(zip(names, row, strict=True)) for row in rows if matches(row)] for rows in (stored, own)))
    matching = [
        _matching(compiler, table, [dict(zip(names, row, strict=True)) for row in rows]) for rows in (stored, own)
    ]
    return Change(*matching)


def _matching(compiler: Any, table: Table, rows: Sequence[Values]) -> list[Values]:
    """The rows for which SQLite finds the query's condition to be true."""
    query = compiler.inner.query
    inner = getattr(query, "inner_query", query)
    try:
        sql, params = compiler.connection.mirror.compiler(inner).compile(inner.where)
    except FullResultSet:
        return list(rows)
    except EmptyResultSet:
        return []
    if not sql or not rows:
        return list(rows)
    holds = compiler.connection.mirror.computed(sql, params, table, rows)
    return [row for row, (held,) in zip(rows, holds, strict=True) if held]


def _value(compiler: Any, column: AggregateColumn, source: Any, changed: Change) -> Any:
    if column.extreme is not None:
        return _extreme(compiler, column, source, changed)
    if column.function is Function.COUNT:
        return _count(compiler, column, source, changed)
    total, count = _sum(compiler, column, source, changed)
    if not count:
        return None
    return total if column.function is Function.SUM else total / count


def _count(compiler: Any, column: AggregateColumn, source: Any, changed: Change) -> int:
    [found] = compiler.connection.plan_cursor().aggregate([Aggregate(source, Function.COUNT)])
    counts = [len(_with_value(rows, column.counted)) for rows in (changed.stored, changed.own)]
    total: int = found - counts[0] + counts[1]
    total = max(0, total - column.select.offset)
    return total if column.select.limit is None else min(total, column.select.limit)


def _sum(compiler: Any, column: AggregateColumn, source: Query, changed: Change) -> tuple[int, int]:
    """The sum, and the number of values that are not null."""
    ref: Any = column.ref
    present: Any = _planned(compiler, _present(column.select, ref))
    total, count = compiler.connection.plan_cursor().aggregate(
        [Aggregate(source, Function.SUM, ref), Aggregate(present, Function.COUNT)]
    )
    if isinstance(total, float):
        raise _SumUnknownError
    before, after = ([row[ref.path[0]] for row in _with_value(rows, ref)] for rows in (changed.stored, changed.own))
    total = (total or 0) - sum(before) + sum(after)
    if column.function is Function.SUM and total not in INT64:
        raise integer_overflow(ref)
    return total, count - len(before) + len(after)


def _extreme(compiler: Any, column: AggregateColumn, source: Any, changed: Change) -> Any:
    order: Any = column.extreme
    name = order.ref.path[0]
    values = [row[name] for row in _with_value(changed.own, order.ref)]
    values += [row[0] for row in compiler.connection.unit.first_of_others(source)]
    return (max if order.descending else min)(values, key=sort_key, default=None)


def _with_value(rows: Sequence[Values], ref: Ref | None) -> Sequence[Values]:
    """The rows whose column is not null; all if there is none."""
    return rows if ref is None else [row for row in rows if row[ref.path[0]] is not None]
