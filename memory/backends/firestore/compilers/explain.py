"""`QuerySet.explain()`: the lane, the reads of Firestore, and the limit of documents read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.core.exceptions import EmptyResultSet

from ..mirror import table_refs
from ..mirror.database import graph_of
from ..mirror.load_plan import JoinGraph, Load, Page, Rank, loads, rank_of, sliced
from ..query import analysis
from ..query.analysis import AggregateAnalysis, RowAnalysis
from ..query.ast import TRUE, AllOf, AnyOf, Condition, Local, RowTest, Select
from ..query.normalize import filter_of
from ..query.plan import And, Compare, Filter, Get, Merge, Nearest, Op, Or, Order, Query
from ..query.planner import NoRows, NotNative, Served, Sifted, SortedGet, plan, superset
from . import own_rows


def describe(compiler: Any, analyzed: RowAnalysis | AggregateAnalysis) -> Iterator[str]:
    """The lines of `explain()`."""
    if isinstance(analyzed, RowAnalysis) and (others := own_rows.read_of(compiler, analyzed)) is not None:
        return _with_own_rows(compiler, analyzed, others)
    plans, unsupported = _planned(compiler, analyzed)
    return _in_mirror(compiler, analyzed, unsupported) if unsupported else _native(compiler, plans)


def _planned(compiler: Any, analyzed: RowAnalysis | AggregateAnalysis) -> tuple[list[Any], tuple[str, ...]]:
    """The plans of a query, one for each aggregate, and what of it Firestore does not support."""
    if isinstance(analyzed, AggregateAnalysis):
        plans = [compiler.rejected_if_buffered(plan(column.select)) for column in analyzed.aggregates]
        unsupported = analyzed.unsupported
    else:
        plans = [compiler.with_index(compiler.rejected_if_buffered(analysis.plan_rows(analyzed)))]
        unsupported = analyzed.select.unsupported
    rejected = [reason for found in plans if isinstance(found, NotNative) for reason in found.unsupported]
    return plans, (*unsupported, *rejected)


def _with_own_rows(compiler: Any, analyzed: RowAnalysis, others: Any) -> Iterator[str]:
    """The lines for a native read that leaves out the rows which this transaction wrote, and adds those."""
    yield from ("lane: native", *lines(others), "with the rows that this transaction wrote")
    if (most := bound_of(others)) is not None:
        again = 2 * compiler.connection.unit.changed_count(analyzed.select.collection)
        yield f"reads at most {most + again} documents"


def _native(compiler: Any, plans: Sequence[Any]) -> Iterator[str]:
    """The lines for plans that Firestore runs."""
    yield "lane: native"
    for found in plans:
        yield from lines(found)
        read = found.read if isinstance(found, Sifted) else found
        if isinstance(read, Query | Merge | Nearest) and compiler.served(read) is None:
            yield "raises MissingIndex: no index of the manifest serves this"
    bounds = [bound_of(found) for found in plans]
    if None not in bounds:
        yield f"reads at most {sum(filter(None, bounds))} documents"


def _in_mirror(compiler: Any, analyzed: RowAnalysis | AggregateAnalysis, unsupported: Sequence[str]) -> Iterator[str]:
    """The lines for a query that SQLite runs, with what is loaded for it."""
    try:
        sql = compiler.inner.as_sql()[0]
    except EmptyResultSet:
        yield from ("lane: native", *lines(NoRows()), "reads at most 0 documents")
        return
    yield f"lane: mirror, because of {', '.join(dict.fromkeys(unsupported))}"
    tables = compiler.tables()
    graph = graph_of(sql, tables, table_refs.join_graph(compiler, compiler.inner.query))
    page = compiler.page(analyzed)
    planned = loads(graph, page)
    for load in planned:
        yield from _load(load, graph, Select(load.table, tables[load.table].key), compiler.served)
    yield _bound(compiler, planned, graph, page)


def bound_of(answer: Any) -> int | None:
    """The most documents that a plan reads; None if it reads all that match."""
    match answer:
        case NoRows():
            return 0
        case Get(_, ids):
            return len(ids)
        case SortedGet(read):
            return bound_of(read)
        case Sifted():  # until enough rows pass
            return None
        case Query(limit=None) | Merge(limit=None):
            return None
        case Merge(branches, limit=limit, offset=offset):  # each branch is read as far as all may come from it
            return len(branches) * (int(limit or 0) + offset)
        case Query(limit=limit, offset=offset):
            return int(limit or 0) + offset
        case Nearest(limit=limit):
            return int(limit)
    return None


def _bound(compiler: Any, planned: Sequence[Load], graph: JoinGraph, page: Page | None) -> str:
    """The line for the most documents that the mirror reads."""
    limit: int = compiler.connection.option("mirror_limit")
    changed = _changed(compiler, {load.table for load in planned})
    reads = _reads(compiler, planned, changed)
    again = 2 * sum(changed.values())  # changed rows may be among those read, and are read by key
    whole = page is not None and not page.with_own_rows and any(link.required for link in graph.links)
    first = limit if reads is None else min(reads, limit)
    otherwise = f", or {first + limit} if an inner join removes one of the slice" if whole else ""
    if reads is None or reads > limit:
        return f"reads at most {limit + again} documents{otherwise}, or raises QueryTooBroad"
    return f"reads at most {reads + again} documents{otherwise}"


def _changed(compiler: Any, tables: Collection[str]) -> Mapping[str, int]:
    """How many rows the transaction has changed, by table."""
    unit = compiler.connection.unit
    return dict.fromkeys(tables, 0) if unit is None else {table: unit.changed_count(table) for table in tables}


def _reads(compiler: Any, planned: Sequence[Load], changed: Mapping[str, int]) -> int | None:
    """The most documents that loads read; None if that depends on the stored rows."""
    rows: dict[int, int] = {}  # of each load, including own rows
    total = 0
    tables = compiler.tables()
    for load in planned:
        select = Select(load.table, tables[load.table].key)
        link = load.links[0] if load.links and rank_of(load.condition) > Rank.BY_KEY else None
        if load.page is not None:
            most = bound_of(plan(sliced(select, load.page)))
            most = None if most is None else most + (1 if load.page.with_own_rows else 0)
        elif link is not None and link.column.key and link.source in rows:
            most = rows[link.source]
        else:
            most = bound_of(superset(replace(select, where=load.condition), compiler.served))
        if most is None:
            return None
        rows[load.ref_index] = most + changed[load.table]
        total += most
    return total


def lines(answer: Any) -> Iterator[str]:
    """The lines for the reads of a plan."""
    match answer:
        case NoRows():
            yield "no read: no row can match"
        case Get(collection, ids):
            yield f"get {len(ids)} from {collection}"
        case SortedGet(read, residue=residue):
            filtered = "" if residue == TRUE else f", and keep those where {condition(residue)}"
            yield f"{next(lines(read))}{filtered}"
        case Sifted(read, residue, limit):
            yield from lines(read)
            kept = "all" if limit is None else f"the first {limit}"
            yield f"keep {kept} where {condition(residue)}"
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


def condition(where: Filter | Condition) -> str:
    """A filter, or a condition in negation normal form, without its values, which may be private."""
    match where:
        case And(children) | AllOf(children):
            return " and ".join(condition(child) for child in children)
        case Or(children) | AnyOf(children):
            return "(" + " or ".join(condition(child) for child in children) + ")"
        case Local(child):
            return condition(child)
        case RowTest(columns, _, wanted):
            return f"{'' if wanted else 'not '}a test of {', '.join(ref.name for ref in columns)}"
        case Compare(ref, Op.IN | Op.NOT_IN, value):
            return f"{ref.name} {where.op} ({len(value)} values)"
        case Compare(ref, op):
            return f"{ref.name} {op}" if op.value.startswith("is ") else f"{ref.name} {op} ?"
        case _:
            raise TypeError(f"{where!r} is not in negation normal form")
