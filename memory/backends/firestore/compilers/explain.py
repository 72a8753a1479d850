"""`QuerySet.explain()`: the lane, what is asked of Firestore, and how many documents that can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..mirror import table_refs
from ..mirror.load_plan import Load, Rank, Reading, loads, rank_of, sliced
from ..query import analysis
from ..query.analysis import Numbers, Rows
from ..query.ast import TRUE, Select
from ..query.normalize import filter_of
from ..query.plan import And, Compare, Filter, Get, Merge, Nearest, Op, Or, Order, Query
from ..query.planner import Nothing, Sorted, Unanswerable, plan, superset


def describe(compiler: Any, asked: Rows | Numbers) -> Iterator[str]:
    """Lines of text for a question."""
    if isinstance(asked, Numbers):
        blame, selects = asked.blame, [number.select for number in asked.numbers]
        plans: list[Any] = [compiler.untouched(plan(select)) for select in selects]
    else:
        blame, selects = asked.select.blame, [asked.select]
        plans = [compiler.untouched(analysis.answer(asked))]
    for found in plans:
        if isinstance(found, Unanswerable):
            blame = (*blame, *found.blame)
    if not blame:
        yield "lane: native"
        for found in plans:
            yield from lines(found)
        return
    yield f"lane: mirror, because of {', '.join(dict.fromkeys(blame))}"
    tables = compiler.tables()
    reading = table_refs.reading(compiler, compiler.inner.query)
    for load in loads(reading, table_refs.page(compiler.inner.query, asked)):
        yield from _load(load, reading, Select(load.table, tables[load.table].key))
    yield f"reads at most {compiler.connection.option('mirror_limit')} documents, or raises QueryTooBroad"


def lines(answer: Any) -> Iterator[str]:
    """What one answer asks of Firestore."""
    match answer:
        case Nothing():
            yield "nothing is asked: no row can match"
        case Get(collection, ids):
            yield f"get {len(ids)} from {collection}"
        case Sorted(read):
            yield from lines(read)
        case Query():
            yield _query(answer)
        case Merge(branches, _, limit):
            yield f"merge {len(branches)} queries" + (f", the first {limit}" if limit is not None else "")
            for branch in branches:
                yield "  " + _query(branch)
        case Nearest(query, ref, _, measure, limit):
            yield f"{limit} nearest by {measure} of {ref.name}: {_query(query)}"


def _load(load: Load, reading: Reading, select: Select) -> Iterator[str]:
    """What the mirror loads for one use of a table."""
    if load.page is not None:
        yield from lines(plan(sliced(select, load.page)))
    elif load.links and rank_of(load.condition) > Rank.BY_KEY:
        link = load.links[0]
        values = f"{link.column.name} in {reading.uses[link.source].table}.{link.source_column.name}"
        if link.column.key:
            yield f"get from {load.table} by {values}"
        else:
            rest = "" if load.condition == TRUE else f" and {condition(filter_of(load.condition))}"
            yield f"query {load.table} where {values}{rest}"
    else:
        yield from lines(superset(replace(select, where=load.condition)))


def _query(query: Query) -> str:
    parts = [f"query {query.collection}"]
    if query.where is not None:
        parts.append(f"where {condition(query.where)}")
    if query.orders:
        parts.append(f"order by {', '.join(_order(order) for order in query.orders)}")
    if query.limit is not None:
        parts.append(f"limit {query.limit}")
    if query.offset:
        parts.append(f"offset {query.offset} (each skipped document is read and billed)")
    return " ".join(parts)


def _order(order: Order) -> str:
    return f"{order.ref.name} desc" if order.descending else order.ref.name


def condition(where: Filter) -> str:
    """A filter, without its values (they may be private)."""
    match where:
        case And(children):
            return " and ".join(condition(child) for child in children)
        case Or(children):
            return "(" + " or ".join(condition(child) for child in children) + ")"
        case Compare(ref, Op.IN | Op.NOT_IN, value):
            return f"{ref.name} {where.op} ({len(value)} values)"
        case Compare(ref, op):
            return f"{ref.name} {op}" if op.value.startswith("is ") else f"{ref.name} {op} ?"
