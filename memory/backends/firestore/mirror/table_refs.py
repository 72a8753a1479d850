"""Collects a query's table references and links for the mirror (`load_plan.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.db.models import Exists
from django.db.models.expressions import Col
from django.db.models.fields import related_lookups
from django.db.models.lookups import Exact, In, IntegerFieldExact
from django.db.models.sql import Query
from django.db.models.sql.constants import INNER, LOUTER
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.subqueries import AggregateQuery
from django.db.models.sql.where import AND, WhereNode

from ..query.analysis import RowAnalysis, joined
from ..query.ast import Condition, all_of
from ..query.lowering import Lowering, collation_of, column_ref
from ..query.plan import Merge
from ..query.plan import Query as FirestoreQuery
from ..query.planner import plan
from ..values.types import Kind, Ref
from .load_plan import JoinGraph, Link, Page, TableRef

# Kinds whose equal values have the same encoding in all columns.
LINKABLE: Final = frozenset({Kind.INTEGER, Kind.TEXT, Kind.UUID})
EQUALITIES: Final = frozenset({Exact, IntegerFieldExact, related_lookups.RelatedExact})
MEMBERSHIPS: Final = frozenset({In, related_lookups.RelatedIn})

# Positions of table references by alias.
Scope = Mapping[str, int]


@dataclass
class Collector:
    """Collects table references and links."""

    compiler: Any
    table_refs: list[TableRef] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def link(self, target: int | None, column: Any, source: int | None, source_column: Any, required: bool) -> None:
        """Adds a link between two columns (fields), if their values are comparable."""
        if target is None or source is None or target == source:
            return
        refs = [self._ref(column), self._ref(source_column)]
        if refs[0] is not None and refs[1] is not None and refs[0].kind is refs[1].kind:
            self.links.append(Link(target, refs[0], source, refs[1], required))

    def _ref(self, column: Any) -> Ref | None:
        if getattr(column, "generated", False) or collation_of(column):
            return None
        ref = column_ref(column, self.compiler.connection)
        return ref if ref.kind in LINKABLE else None


def join_graph(compiler: Any, expression: Any) -> JoinGraph:
    """The join graph of a query or an expression."""
    collector = Collector(compiler)
    for query in [expression] if isinstance(expression, Query) and expression.model else inner_queries(expression):
        _visit(collector, query, {})
    return JoinGraph(tuple(collector.table_refs), tuple(collector.links))


def models(tableless: Query) -> list[Any]:
    """The models of the subqueries of a query without a model."""
    return [query.model for query in inner_queries(tableless) if query.model]


def inner_queries(expression: Any) -> Iterator[Query]:
    """The subqueries of an expression, or of a query without a model."""
    parts = (
        (expression.where, *expression.annotation_select.values()) if isinstance(expression, Query) else (expression,)
    )
    return _subqueries(parts)


def _visit(collector: Collector, query: Query, outer: Scope) -> Scope:
    """Adds the table references of a query and its subqueries. Returns the positions of the query's own aliases."""
    if isinstance(query, AggregateQuery):
        return _visit(collector, query.inner_query, outer)
    if query.combinator:
        for part in query.combined_queries:
            _visit(collector, part, outer)
        return {}
    where, _, _ = query.where.split_having_qualify(must_group_by=query.group_by is not None)
    own = _own_table_refs(collector, query, where)
    scope = {**outer, **own}
    for alias in own:
        _join(collector, query, scope, alias)
    visited = {id(nested) for nested in _where_links(collector, where, scope, own)} if where is not None else set()
    for nested in _subqueries((query.where,)):
        if id(nested) not in visited:
            _visit(collector, nested, scope)
    grouped = query.group_by if isinstance(query.group_by, tuple) else ()
    for nested in _subqueries((*query.annotation_select.values(), *query.order_by, *query.select, *grouped)):
        _visit(collector, nested, scope)
    return own


def _own_table_refs(collector: Collector, query: Query, where: Any) -> dict[str, int]:
    aliases = [alias for alias, count in query.alias_refcount.items() if count] or [query.get_initial_alias()]
    own: dict[str, int] = {}
    for alias in aliases:
        table = query.alias_map[alias]
        own[alias] = len(collector.table_refs)
        condition = _condition(collector.compiler, where, alias, table)
        collector.table_refs.append(TableRef(table.table_name, alias, condition, optional=table.join_type == LOUTER))
    return own


def _condition(compiler: Any, where: Any, alias: str, table: BaseTable | Join) -> Condition:
    """A condition on all relevant rows of an alias: the ON clause and, unless it is an outer join, the WHERE."""
    lowering = Lowering(compiler, alias)
    parts = []
    if where is not None and table.join_type != LOUTER:
        parts.append(lowering.where(where))
    if isinstance(table, Join):
        parts += [lowering.condition(restriction) for restriction in _restrictions(table)]
    return all_of(parts)


def _restrictions(join: Any) -> Iterator[Any]:
    """The conditions of a join besides the equality of columns."""
    extra = join.join_field.get_extra_restriction(join.table_alias, join.parent_alias)
    if extra:
        yield extra
    if join.filtered_relation is not None:
        yield join.filtered_relation.resolved_condition


def _columns(join: Any) -> Iterator[tuple[Any, Any]]:
    """The pairs of fields that a join compares: the parent's and its own."""
    return iter(join.join_fields or ())


def _join(collector: Collector, query: Query, scope: Scope, alias: str) -> None:
    join = query.alias_map[alias]
    if not isinstance(join, Join) or join.parent_alias not in scope:
        return
    inner = join.join_type == INNER
    for parent_column, column in _columns(join):
        collector.link(scope[alias], column, scope[join.parent_alias], parent_column, inner)
        if inner and query.alias_map[join.parent_alias].join_type != LOUTER:
            collector.link(scope[join.parent_alias], parent_column, scope[alias], column, inner)


# --- conditions that compare columns, and subqueries ---


def _where_links(collector: Collector, where: WhereNode, scope: Scope, own: Mapping[str, int]) -> Iterator[Query]:
    """Adds the links of a WHERE. Yields the subqueries that were visited."""
    for node in conjuncts(where):
        if _compares(node, EQUALITIES) and isinstance(node.lhs, Col) and isinstance(node.rhs, Col):
            _equal(collector, node.lhs, node.rhs, scope, own)
        elif _compares(node, MEMBERSHIPS) and isinstance(node.lhs, Col) and isinstance(node.rhs, Query):
            inner = _visit(collector, node.rhs, scope)
            yield node.rhs
            selected = _selected_column(node.rhs)
            if selected is not None and selected.alias in inner and node.lhs.alias in own:
                pair = (own[node.lhs.alias], node.lhs.target), (inner[selected.alias], selected.target)
                collector.link(*pair[0], *pair[1], False)
                if _keeps_rows(node.rhs):
                    collector.link(*pair[1], *pair[0], False)
        elif (exists := _required_exists(node)) is not None:
            inner = _visit(collector, exists.query, scope)
            yield exists.query
            if exists.query.group_by is None:
                _reverse_links(collector, set(inner.values()), set(own.values()))


def _required_exists(node: Any) -> Any:
    """The `Exists` of a condition that requires it. Django wraps it in a comparison with True."""
    if type(node) is Exact and node.rhs is True:
        node = node.lhs
    return node if type(node) is Exists else None


def _compares(node: Any, lookups: frozenset[type]) -> bool:
    return type(node) in lookups and not node.bilateral_transforms


def _equal(collector: Collector, left: Col, right: Col, scope: Scope, own: Mapping[str, int]) -> None:
    """Links two columns that must be equal, except towards an outer query."""
    for one, other in ((left, right), (right, left)):
        if one.alias in own:
            collector.link(own[one.alias], one.target, scope.get(other.alias), other.target, False)


def _reverse_links(collector: Collector, inner: set[int], own: set[int]) -> None:
    """Adds the reverse of links to the query `own`, for a subquery of it whose rows must exist.

    Links of the subquery to other outer queries are not reversed, since those may have rows without a match.
    """
    for link in list(collector.links):
        if link.target in inner and link.source in own:
            collector.links.append(Link(link.source, link.source_column, link.target, link.column))


def _keeps_rows(query: Query) -> bool:
    """Whether a subquery has no slice, grouping or window, so that its rows do not depend on each other."""
    numbered = any(getattr(e, "contains_over_clause", False) for e in query.annotations.values())
    return not (query.is_sliced or query.group_by is not None or query.distinct_fields or numbered)


def _selected_column(query: Query) -> Col | None:
    """The column of a query that selects exactly one column."""
    columns = [*query.select, *query.annotation_select.values()]
    simple = not (query.combinator or query.extra_select or query.default_cols)
    return columns[0] if simple and len(columns) == 1 and isinstance(columns[0], Col) else None


def conjuncts(where: WhereNode) -> Iterator[Any]:
    """The conjuncts of a WHERE."""
    if where.negated or where.connector != AND:
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from conjuncts(child)
        else:
            yield child


def _subqueries(nodes: Any) -> Iterator[Query]:
    for node in nodes:
        if isinstance(node, Query):
            yield node
        elif inner := getattr(node, "query", None):
            yield inner
        else:
            parts = node.children if isinstance(node, WhereNode) else _sources(node)
            yield from _subqueries(parts)
            if isinstance(rhs := getattr(node, "rhs", None), Query) and rhs not in parts:
                yield rhs


def _sources(node: Any) -> Sequence[Any]:
    return node.get_source_expressions() if hasattr(node, "get_source_expressions") else ()


# --- slices ---


def page(query: Query, analyzed: Any) -> Page | None:
    """The slice of a query, if Firestore can apply it; otherwise None, and SQLite applies it.

    Firestore can, if conditions and ordering are on columns of the base table, and joins only add columns.
    """
    if not isinstance(analyzed, RowAnalysis) or not analyzed.sliceable or analyzed.select.limit is None:
        return None
    select = analyzed.select
    joins = all(_is_to_one_join(query, alias) for alias in joined(query))
    if not joins or not isinstance(plan(replace(select, unsupported=())), FirestoreQuery | Merge):
        return None
    return Page(select.where, select.orders, analyzed.select.limit, select.offset)


def _is_to_one_join(query: Query, alias: str) -> bool:
    """Whether a join has at most one matching row, and no further conditions."""
    join = query.alias_map[alias]
    if not isinstance(join, Join) or any(_restrictions(join)):
        return False
    columns = [column for _, column in _columns(join)]
    return len(columns) == 1 and bool(columns[0].unique)
