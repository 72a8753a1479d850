"""Queries of one table that are planned once: what they select by their shape, and their plans by their conditions.

A shape is what a query has besides the values of its conditions: the model, the columns, and the order. What Django's
compiler and the analysis find is kept for it. The condition is lowered each time, since that prepares its values, and
its structure finds the plan (`query/templates.py`). Other queries are compiled and planned each time.

What is kept belongs to the model's fields as they were: it is not used after the fields of a model have changed.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final

from django.db.models.expressions import Col, Value
from django.db.models.sql import Query as DjangoQuery

from ..cache import MAX_QUERIES, Recent, is_kept
from ..query.analysis import RowAnalysis
from ..query.ast import TRUE, Select
from ..query.lowering import Lowering
from ..query.planner import Answer, NotNative, plan
from ..query.templates import bind, outline, template

ABSENT: Final = attrgetter(
    "combinator", "distinct", "extra", "extra_order_by", "extra_tables", "group_by", "select_for_update",
    "select_related",
)  # fmt: skip
"""Reads the attributes that must be empty in a query."""


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """What a compiler finds for a shape. `analyzed` has no condition and no slice; `fields` are those of the model.

    `converters` are set on first use in a time zone of the connection. `plans` are templates by the structure of the
    condition.
    """

    fields: Any
    alias: str
    select: list[Any]
    klass_info: dict[str, Any] | None
    annotation_col_map: dict[str, int]
    analyzed: RowAnalysis
    keys: frozenset[Any]
    converters: dict[Any, dict[int, Any]] = field(default_factory=dict)
    plans: Recent = field(default_factory=lambda: Recent(MAX_QUERIES))

    def set_on(self, compiler: Any) -> None:
        """Set the attributes that Django's iterators read. New dicts, since Django may modify them."""
        info = self.klass_info
        compiler.shape = self
        compiler.select, compiler.annotation_col_map = self.select, dict(self.annotation_col_map)
        compiler.klass_info = None if info is None else {**info, "select_fields": list(info["select_fields"])}
        compiler.col_count, compiler.has_extra_select = len(self.select), False

    def select_of(self, compiler: Any) -> Select:
        """The planner's input for the compiler's query."""
        query = compiler.query
        return replace(
            self.analyzed.select,
            where=Lowering(compiler, self.alias).where(query.where) if query.where else TRUE,
            limit=None if query.high_mark is None else query.high_mark - query.low_mark,
            offset=query.low_mark,
        )

    def plan_of(self, select: Select) -> Answer | NotNative:
        """The plan of a select of this shape, as the planner makes it."""
        found = None if select.limit == 0 else outline(select.where, self.keys)
        if found is None:
            return plan(select)
        known = self.plans.find(found.structure)
        if known is None:
            planned = plan(select)
            if (made := template(select, planned, found)) is not None:
                self.plans.keep(found.structure, made)
            return planned
        return known if isinstance(known, NotNative) else bind(known, found.values, select.limit, select.offset)


def shape_of(query: Any) -> Hashable | None:
    """The shape of a query for rows of one table; None for other queries."""
    if query.__class__ is not DjangoQuery or any(ABSENT(query)) or query.model is None:
        return None
    table = query.model._meta.db_table
    order, columns, selected = _order(query), _columns(query, table), query.selected
    if order is None or columns is None or any(alias != table for alias, uses in query.alias_refcount.items() if uses):
        return None
    if selected and not all(type(place) is int for place in selected.values()):
        return None
    constant = _constant(query) if query.annotations else NOTHING
    names, is_deferred = query.deferred_loading
    shape = (
        query.model, table, frozenset(names), is_deferred, columns, tuple(selected.items()) if selected else None,
        order, query.default_ordering, query.standard_ordering, constant,
    )  # fmt: skip
    return None if constant is None else shape


NOTHING: Final = ()


def _order(query: Any) -> tuple[str, ...] | None:
    """The names by which a query is ordered; None if it is ordered by expressions."""
    order = query.order_by
    if query.default_ordering and not order:
        order = tuple(query.model._meta.ordering or ())
    return order if all(name.__class__ is str for name in order) else None


def _columns(query: Any, table: str) -> Hashable | None:
    """The selected columns, or whether they are those of the model; None if something else is selected."""
    if not query.select:
        return bool(query.default_cols)
    if all(type(one) is Col and one.alias == table and one.output_field is one.target for one in query.select):
        return tuple([one.target.column for one in query.select])
    return None


def _constant(query: Any) -> Hashable | None:
    """The number that `exists()` selects; None if a query has other annotations."""
    [*annotations] = query.annotations.items()
    name, value = annotations[0]
    if len(annotations) > 1 or type(value) is not Value or type(value.value) is not int:
        return None
    if query.select or query.selected or query.default_cols:
        return None
    mask = query.annotation_select_mask
    return name, value.value, None if mask is None else frozenset(mask)


def find(shape: Hashable, query: Any, connection: Any) -> KnownQuery | None:
    """What is known of a shape."""
    known: KnownQuery | None = connection.cache.queries.find(shape)
    return known if known is not None and known.fields is query.model._meta.concrete_fields else None


def keep(shape: Hashable, compiler: Any, analyzed: Any) -> KnownQuery | None:
    """Keep what a compiler found, if the query is one for rows that Firestore may answer; None for others."""
    if not isinstance(analyzed, RowAnalysis) or analyzed.vector_order is not None or compiler.has_extra_select:
        return None
    select, query = analyzed.select, compiler.inner.query
    info = compiler.klass_info
    if select.unsupported or (info is not None and info.keys() != {"model", "select_fields"}):
        return None
    plain = replace(analyzed, select=replace(select, where=TRUE, limit=None, offset=0))
    known = KnownQuery(
        query.model._meta.concrete_fields,
        query.base_table,
        compiler.select,
        info,
        dict(compiler.annotation_col_map),
        plain,
        frozenset((select.key, *select.key_parts)),
    )
    if is_kept(query.model):
        compiler.connection.cache.queries.keep(shape, known)
    return known
