"""`QuerySet.explain()`: the lane, the reads of Firestore, and the limit of documents read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..mirror import table_refs
from ..mirror.load_plan import JoinGraph, Load, Rank, loads, rank_of, sliced
from ..query import analysis
from ..query.analysis import AggregateAnalysis, RowAnalysis
from ..query.ast import TRUE, Select
from ..query.normalize import filter_of
from ..query.plan import And, Compare, Filter, Get, Merge, Nearest, Op, Or, Order, Query
from ..query.planner import NoRows, NotNative, Served, SortedGet, plan, superset


def describe(compiler: Any, analyzed: RowAnalysis | AggregateAnalysis) -> Iterator[str]:
    """The lines of `explain()`."""
    if isinstance(analyzed, AggregateAnalysis):
        unsupported, selects = analyzed.unsupported, [column.select for column in analyzed.aggregates]
        plans: list[Any] = [compiler.rejected_if_buffered(plan(select)) for select in selects]
    else:
        unsupported, selects = analyzed.select.unsupported, [analyzed.select]
        plans = [compiler.with_index(compiler.rejected_if_buffered(analysis.plan_rows(analyzed)))]
    for found in plans:
        if isinstance(found, NotNative):
            unsupported = (*unsupported, *found.unsupported)
    if not unsupported:
        yield "lane: native"
        for found in plans:
            yield from lines(found)
            if isinstance(found, Query | Merge | Nearest) and compiler.served(found) is None:
                yield "raises MissingIndex: no index of the manifest serves this"
        return
    yield f"lane: mirror, because of {', '.join(dict.fromkeys(unsupported))}"
    tables = compiler.tables()
    graph = table_refs.join_graph(compiler, compiler.inner.query)
    for load in loads(graph, compiler.page(analyzed)):
        yield from _load(load, graph, Select(load.table, tables[load.table].key), compiler.served)
    yield f"reads at most {compiler.connection.option('mirror_limit')} documents, or raises QueryTooBroad"


def lines(answer: Any) -> Iterator[str]:
    """The lines for the reads of a plan."""
    match answer:
        case NoRows():
            yield "no read: no row can match"
        case Get(collection, ids):
            yield f"get {len(ids)} from {collection}"
        case SortedGet(read):
            yield from lines(read)
        case Query():
            yield _query(answer)
        case Merge(branches, _, limit):
            yield f"merge {len(branches)} queries" + (f", the first {limit}" if limit is not None else "")
            for branch in branches:
                yield "  " + _query(branch)
        case Nearest(query, ref, _, measure, limit):
            yield f"{limit} nearest by {measure} of {ref.name}: {_query(query)}"


def _load(load: Load, graph: JoinGraph, select: Select, served: Served) -> Iterator[str]:
    """The lines for one load of the mirror."""
    if load.page is not None:
        yield from lines(plan(sliced(select, load.page)))
    elif load.links and rank_of(load.condition) > Rank.BY_KEY:
        link = load.links[0]
        values = f"{link.column.name} in {graph.table_refs[link.source].table}.{link.source_column.name}"
        if link.column.key:
            yield f"get from {load.table} by {values}"
        else:
            rest = "" if load.condition == TRUE else f" and {condition(filter_of(load.condition))}"
            yield f"query {load.table} where {values}{rest}"
    else:
        yield from lines(superset(replace(select, where=load.condition), served))


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
    """A filter without its values, which may be private."""
    match where:
        case And(children):
            return " and ".join(condition(child) for child in children)
        case Or(children):
            return "(" + " or ".join(condition(child) for child in children) + ")"
        case Compare(ref, Op.IN | Op.NOT_IN, value):
            return f"{ref.name} {where.op} ({len(value)} values)"
        case Compare(ref, op):
            return f"{ref.name} {op}" if op.value.startswith("is ") else f"{ref.name} {op} ?"
