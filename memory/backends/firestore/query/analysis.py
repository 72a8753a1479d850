"""Analyzes a Django `Query`: its tree for the planner, and the mapping from result columns to the rows of a read.

Django's SQLite compiler resolves the query (select list, joins, ordering, grouping). The analysis inspects the result
before any SQL is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from django.db.models import Aggregate as DjangoAggregate
from django.db.models import Avg, Count, Max, Min, Sum
from django.db.models.expressions import Col, Star, Value
from django.db.models.lookups import IsNull
from django.db.models.sql import Query
from django.db.models.sql.subqueries import AggregateQuery
from django.db.models.sql.where import AND, WhereNode

from ..values.types import Kind, Ref
from .ast import TRUE, Condition, Select, all_of
from .lowering import Lowering, NotConstantError, describe_expression, key_fields, key_parts, key_ref, lower_orders
from .plan import MAX_NEAREST, Compare, Function, Measure, Nearest, Op, Order
from .plan import Query as FirestoreQuery
from .planner import UNSORTABLE, Answer, NoRows, NotNative, plan


@dataclass(frozen=True, slots=True)
class ConstantColumn:
    """An output column with a constant value."""

    value: Any


@dataclass(frozen=True, slots=True)
class DistanceColumn:
    """The output column for the distance of a vector search."""


OutputColumn = int | ConstantColumn | DistanceColumn


@dataclass(frozen=True, slots=True)
class VectorOrder:
    """An ordering by distance to a vector.

    `present`: the query excludes rows without a vector, as Firestore does. `defined`: it excludes rows without a
    distance (the cosine distance of a zero vector is undefined).
    """

    ref: Ref
    vector: tuple[float, ...]
    measure: Measure
    present: bool = False
    defined: bool = False


@dataclass(frozen=True, slots=True)
class RowAnalysis:
    """The analysis of a query for rows. `shape` maps output columns to positions in the rows of the read.

    `sliceable`: conditions and ordering use only columns of the base table, whatever else is selected or joined.
    """

    select: Select
    shape: tuple[OutputColumn, ...]
    vector_order: VectorOrder | None = None
    sliceable: bool = False


@dataclass(frozen=True, slots=True)
class AggregateColumn:
    """One aggregate: a server-side `function`, or the minimum or maximum of a column (`extreme`).

    `counted`: the nullable column whose values are counted, which `select` requires to be there.
    """

    select: Select
    function: Function | None = None
    ref: Ref | None = None
    extreme: Order | None = None
    counted: Ref | None = None


@dataclass(frozen=True, slots=True)
class AggregateAnalysis:
    """The analysis of a query for one row of aggregates. `unsupported`: the parts that Firestore cannot evaluate.

    `where` is the condition of the query, which those of its aggregates include. `rows` is the analysis of the
    subquery that the aggregates are over.
    """

    aggregates: tuple[AggregateColumn, ...]
    unsupported: tuple[str, ...] = ()
    where: Condition = TRUE
    rows: RowAnalysis | None = None


FUNCTIONS: Final[dict[type, Function]] = {Count: Function.COUNT, Sum: Function.SUM, Avg: Function.AVG}
NUMERIC: Final = frozenset({Kind.INTEGER, Kind.FLOAT})


def primary_key_query(query: Any, *, ordered: bool = False) -> Any:
    """A query for the primary keys of the rows that a query, an UPDATE or a DELETE matches."""
    rows: Any = query.chain(klass=Query)
    if not ordered:
        rows.clear_ordering(force=True)
    rows.clear_select_clause()
    rows.select_related = False
    rows.select = tuple(field.get_col(rows.get_initial_alias()) for field in key_fields(rows.model))
    return rows


def analyze(outer: Any, inner: Any) -> RowAnalysis | AggregateAnalysis:
    """Analyzes a query. `outer` is the engine's compiler for it, `inner` is Django's SQLite compiler."""
    query = inner.query
    if isinstance(query, AggregateQuery):
        return _over_subquery(outer, inner)
    _, order_by, group_by = inner.pre_sql_setup()
    lowering = Lowering(outer, query.base_table or query.get_initial_alias())
    structure = [*_structure(query, inner, group_by)]
    unsupported = [*structure, *(f"the join to {query.alias_map[alias].table_name}" for alias in joined(query))]
    expressions = [expression for expression, _, _ in inner.select]
    if expressions and all(isinstance(e, DjangoAggregate) for e in expressions):
        return _aggregates(lowering, inner, expressions, unsupported)
    rows = _rows(lowering, inner, expressions, [expression for expression, _ in order_by], unsupported)
    return replace(rows, sliceable=rows.sliceable and not structure)


def _structure(query: Query, inner: Any, group_by: Any) -> Iterator[str]:
    """The parts of a query that go beyond rows of one collection."""
    if query.combinator:
        yield f"{query.combinator}()"
    if group_by or query.group_by is not None:
        yield "values().annotate() (GROUP BY)"
    if query.distinct and not _has_key(query, inner):
        yield "distinct()"
    if query.extra_tables or query.extra:
        yield "extra()"
    if inner.having is not None or inner.qualify is not None:
        yield "a filter on an aggregate or a window"


def joined(query: Query) -> list[str]:
    """The aliases of joined tables."""
    return [a for a, count in query.alias_refcount.items() if count and a != query.base_table]


def _has_key(query: Query, inner: Any) -> bool:
    """Whether the primary key is selected, so that rows are distinct anyway."""
    return not query.distinct_fields and any(
        isinstance(e, Col) and e.alias == query.base_table and e.target.primary_key for e, _, _ in inner.select
    )


def _base(lowering: Lowering, inner: Any, unsupported: list[str]) -> Select:
    query = inner.query
    meta = query.get_meta()
    return Select(
        collection=query.alias_map[query.base_table].table_name,
        key=key_ref(meta.model, lowering.connection),
        key_parts=key_parts(meta.model, lowering.connection),
        where=_condition(lowering, inner),
        limit=None if query.high_mark is None else query.high_mark - query.low_mark,
        offset=query.low_mark,
        unsupported=tuple(unsupported),
    )


def _condition(lowering: Lowering, inner: Any) -> Condition:
    """The condition of all rows. That of a combined query is only of its first part."""
    return TRUE if inner.where is None or inner.query.combinator else lowering.where(inner.where)


def _rows(
    lowering: Lowering, inner: Any, expressions: list[Any], order_by: list[Any], unsupported: list[str]
) -> RowAnalysis:
    vector_order = _required_vector_order(lowering, inner, order_by) if order_by else None
    columns, shape = _shape(lowering, expressions, vector_order, unsupported)
    lowered = [] if vector_order else list(lower_orders(lowering, order_by))
    orders = tuple(order for order in lowered if not isinstance(order, str))
    unsupported += [reason for reason in lowered if isinstance(reason, str)]
    has_windows = any(getattr(expression, "contains_over_clause", False) for expression in expressions)
    sliceable = vector_order is None and len(orders) == len(lowered) and not has_windows
    select = replace(_base(lowering, inner, unsupported), columns=columns, orders=orders)
    return RowAnalysis(select, shape, vector_order, sliceable)


def _required_vector_order(lowering: Lowering, inner: Any, order_by: list[Any]) -> VectorOrder | None:
    """The order by a vector distance, with what the conditions require of it. The lowering then implies its lookups."""
    found = _vector_order(lowering, order_by)
    if found is None:
        return None
    present, defined = (
        _requires(inner.where, partial(predicate, lowering, vector_order=found))
        for predicate in (_is_present, _has_distance)
    )
    vector_order = replace(found, present=present, defined=defined)
    lowering.implied = lambda lookup: _is_present(lowering, lookup, vector_order)
    return vector_order


def _shape(
    lowering: Lowering, expressions: Sequence[Any], vector_order: VectorOrder | None, unsupported: list[str]
) -> tuple[tuple[Ref, ...], tuple[OutputColumn, ...]]:
    """The columns to read, each once, and the place in them of each selected expression."""
    columns: dict[Ref, int] = {}
    shape: list[OutputColumn] = []
    for expression in expressions:
        if vector_order and _is_distance(lowering, expression, vector_order):
            shape.append(DistanceColumn())
        elif (ref := lowering.ref(expression)) is not None and len(ref.path) == 1:
            shape.append(columns.setdefault(ref, len(columns)))
        elif isinstance(expression, Value):
            shape.append(ConstantColumn(_value(lowering, expression)))
        else:
            unsupported.append(describe_expression(expression))
    return tuple(columns), tuple(shape)


def _value(lowering: Lowering, expression: Value) -> Any:
    try:
        return lowering.expression(expression)
    except NotConstantError:
        return expression.value


# --- vectors ---


def plan_rows(rows: RowAnalysis) -> Answer | Nearest | NotNative:
    """The plan for a query for rows, or the reasons why Firestore cannot answer it."""
    return plan(rows.select) if rows.vector_order is None else _nearest(rows)


def _nearest(rows: RowAnalysis) -> Nearest | NoRows | NotNative:
    """The vector search for a query for rows, or the reasons why it is not supported."""
    select, vector_order = rows.select, rows.vector_order
    if vector_order is None:
        raise TypeError("the query has no ordering by distance")
    base = plan(replace(select, limit=None, offset=0))
    if isinstance(base, NotNative | NoRows):
        return base
    if not vector_order.present:
        return NotNative((f"order by distance without {vector_order.ref.name}__isnull=False",))
    if select.limit is None or not isinstance(base, FirestoreQuery) or select.limit + select.offset > MAX_NEAREST:
        return NotNative((f"order by distance without a slice of at most {MAX_NEAREST} rows",))
    with_distance = any(isinstance(item, DistanceColumn) for item in rows.shape)
    return Nearest(
        base,
        vector_order.ref,
        vector_order.vector,
        vector_order.measure,
        select.limit,
        select.offset,
        with_distance,
        vector_order.defined,
    )


def _vector_order(lowering: Lowering, order_by: list[Any]) -> VectorOrder | None:
    """The vector order of an `order_by()` with one distance expression (an expression with a `measure`)."""
    order = order_by[0]
    source = getattr(order.expression, "source", order.expression)
    measure = getattr(source, "measure", None)
    if len(order_by) != 1 or order.descending or order.nulls_last or measure not in set(Measure):
        return None
    column, vector = source.get_source_expressions()
    ref = lowering.ref(column)
    if ref is None or ref.kind is not Kind.VECTOR or not isinstance(vector, Value) or vector.value is None:
        return None
    return VectorOrder(ref, tuple(vector.value), Measure(measure))


def _is_distance(lowering: Lowering, expression: Any, vector_order: VectorOrder) -> bool:
    if getattr(expression, "measure", None) != vector_order.measure.value:
        return False
    column, vector = expression.get_source_expressions()
    return lowering.ref(column) == vector_order.ref and tuple(getattr(vector, "value", ())) == vector_order.vector


def _is_present(lowering: Lowering, lookup: Any, vector_order: VectorOrder) -> bool:
    """Whether a condition requires that the vector, or the distance to it, is not null."""
    given = isinstance(lookup, IsNull) and lookup.rhs is False and lowering.ref(lookup.lhs) == vector_order.ref
    return given or _has_distance(lowering, lookup, vector_order)


def _has_distance(lowering: Lowering, lookup: Any, vector_order: VectorOrder) -> bool:
    """Whether a condition requires that the distance to the vector is not null."""
    return isinstance(lookup, IsNull) and lookup.rhs is False and _is_distance(lowering, lookup.lhs, vector_order)


def _requires(where: Any, predicate: Callable[[Any], bool]) -> bool:
    """Whether the predicate is true for one of the conjuncts of a WHERE."""
    if where is None or where.negated or where.connector != AND:
        return False
    return any(
        _requires(child, predicate) if isinstance(child, WhereNode) else predicate(child) for child in where.children
    )


# --- aggregates ---


def _aggregates(lowering: Lowering, inner: Any, expressions: list[Any], unsupported: list[str]) -> AggregateAnalysis:
    base = _base(lowering, inner, unsupported)
    aggregates: list[AggregateColumn] = []
    for expression in expressions:
        aggregate = _aggregate_column(lowering, base, expression)
        if aggregate is None:
            unsupported.append(f"{type(expression).__name__}(...)")
        else:
            aggregates.append(aggregate)
    return AggregateAnalysis(tuple(aggregates), tuple(unsupported), base.where)


def _aggregate_column(lowering: Lowering, base: Select, expression: Any) -> AggregateColumn | None:
    sources = expression.get_source_expressions()
    if any(source is not None for source in sources[1:]) or getattr(expression, "distinct", False):
        return None
    if isinstance(sources[0], Star):
        return AggregateColumn(base, Function.COUNT) if type(expression) is Count else None
    sorts = type(expression) in (Min, Max)
    ref = lowering.comparable(sources[0]) if sorts else lowering.ref(sources[0])
    if ref is None or len(ref.path) > 1:
        return None
    if type(expression) is Count:
        present = Compare(ref, Op.IS_NOT_NULL)
        if not sources[0].target.null:
            return AggregateColumn(base, Function.COUNT)
        return AggregateColumn(replace(base, where=all_of([base.where, present])), Function.COUNT, counted=ref)
    if type(expression) in (Sum, Avg):
        return AggregateColumn(base, FUNCTIONS[type(expression)], ref) if ref.kind in NUMERIC else None
    if sorts and ref.kind not in UNSORTABLE:
        return AggregateColumn(base, extreme=Order(ref, type(expression) is Max), ref=ref)
    return None


def _over_subquery(outer: Any, inner: Any) -> AggregateAnalysis:
    """The analysis of aggregates over a subquery. Only counting the rows is native."""
    query = inner.query
    annotations = list(query.annotation_select.values())
    subquery = query.inner_query
    rows = analyze(outer, subquery.get_compiler(connection=inner.connection, elide_empty=inner.elide_empty))
    only_counts = all(type(a) is Count and isinstance(a.get_source_expressions()[0], Star) for a in annotations)
    plain = only_counts and not any(a.filter is not None or a.distinct for a in annotations)
    if isinstance(rows, AggregateAnalysis):
        return AggregateAnalysis((), ("an aggregate over a subquery",))
    if not plain or rows.vector_order:
        return AggregateAnalysis((), ("an aggregate over a subquery",), rows=rows)
    return AggregateAnalysis(
        tuple(AggregateColumn(rows.select, Function.COUNT) for _ in annotations),
        rows.select.unsupported,
        rows.select.where,
        rows,
    )
