"""Slices of a table that the transaction has written to, such as `first()`, `exists()` and `get()`, without the mirror.

Firestore returns the first rows that have no buffered writes, as many as the slice needs. The transaction's own rows
that match, by the evaluator of conditions (`query/evaluate.py`), are sorted into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..query.analysis import RowAnalysis
from ..query.ast import Select
from ..query.evaluate import columns_of, holds, is_evaluable, sort_key
from ..query.normalize import negation_normal_form
from ..query.plan import Merge, Query
from ..query.planner import plan
from ..rpc import codec

Row = tuple[Any, ...]


def read_of(compiler: Any, analyzed: RowAnalysis) -> Query | Merge | None:
    """The read of the rows without buffered writes; None if the transaction wrote none, or the mirror is needed."""
    select, unit = analyzed.select, compiler.connection.unit
    if unit is None or analyzed.vector_order is not None or select.unsupported or select.limit is None:
        return None
    if not unit.touches(Query(select.collection)) or not isinstance(plan(select), Query | Merge):
        return None
    condition = negation_normal_form(select.where)
    found: Query | Merge | None = (
        compiler.served(plan(_to_merge(select, condition))) if is_evaluable(condition) else None
    )
    return found


def sliced_rows(compiler: Any, analyzed: RowAnalysis) -> Iterator[Row] | None:
    """The rows of the slice, as the read of the query returns them; None if `read_of` has none."""
    read = read_of(compiler, analyzed)
    if read is None:
        return None
    select, unit = analyzed.select, compiler.connection.unit
    columns = (read.branches[0] if isinstance(read, Merge) else read).columns
    stop = select.offset + (select.limit or 0)
    matches = holds(negation_normal_form(select.where), columns, codec.as_read)
    rows = [*unit.rows_of_others(read, stop), *filter(matches, unit.own_rows(read, columns))]
    for order in reversed(select.orders):
        position = columns.index(order.ref)
        rows.sort(key=lambda row: sort_key(row[position]), reverse=order.descending)
    width = len(select.columns)
    return iter([row[:width] for row in rows[select.offset : stop]])


def _to_merge(select: Select, condition: Any) -> Select:
    """The select of what is read of others: from the first row on, with the columns that are compared."""
    compared = (*(order.ref for order in select.orders), *columns_of(condition))
    columns = tuple(dict.fromkeys((*select.columns, *compared)))
    return replace(select, columns=columns, limit=select.offset + (select.limit or 0), offset=0)
