"""A fast path for queries by primary key: `get(pk=...)`, and updates and deletes of one row, without compiling.

Compiling such a query takes more time than the RPC. The fast path applies if the query selects all columns of one
model, its only condition is that the primary key equals a value, and no other feature is used. All other queries are
compiled.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, cast

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.sql import Query as DjangoQuery

from ..values.document_ids import SORTED_KINDS, document_id
from ..values.types import Ref
from .lowering import collation_of, column_ref
from .plan import Get

EXACT_LOOKUPS: Final = frozenset({lookups.Exact, lookups.IntegerFieldExact})
ALL_FIELDS: Final[tuple[frozenset[str], bool]] = (frozenset(), True)
"""`Query.deferred_loading` of a query without deferred fields."""

FEATURES: Final = attrgetter(
    "annotations", "combinator", "distinct", "extra", "extra_tables", "group_by", "low_mark", "select",
    "select_for_update", "select_related", "values_select",
)  # fmt: skip
"""Reads the attributes that must be empty in a query. Ordering and an upper limit do not matter for a single row."""


class Shape:
    """All columns of a model, in the form of Django's iterators.

    `converters` are set on first use in a time zone of the connection, which decides on those of datetimes.
    """

    def __init__(self, model: Any, connection: Any) -> None:
        fields = model._meta.concrete_fields
        alias = model._meta.db_table
        self.model = model
        self.select = [(field.get_col(alias), ("", ()), None) for field in fields]
        self.columns: tuple[Ref, ...] = tuple(column_ref(field, connection) for field in fields)
        self.key = column_ref(model._meta.pk, connection)
        self.converters: dict[Any, dict[int, Any]] = {}

    def klass_info(self) -> dict[str, Any]:
        """Django's `klass_info` for the model's columns. A new dict each time, since Django may modify it."""
        return {"model": self.model, "select_fields": list(range(len(self.select)))}


def match_select(query: Any, connection: Any) -> tuple[Shape, Get] | None:
    """The shape and the read of a query for one row by its primary key; None for any other query."""
    if query.__class__ is not DjangoQuery or not query.default_cols or query.deferred_loading != ALL_FIELDS:
        return None
    found = _match(query, connection)
    if found is None:
        return None
    shape, id = found
    return shape, Get(shape.model._meta.db_table, (id,), shape.columns)


def match_write(query: Any, connection: Any) -> str | None:
    """The document id of an UPDATE or DELETE of one row by its primary key; None for any other query."""
    found = _match(query, connection)
    return None if found is None else found[1]


def _match(query: Any, connection: Any) -> tuple[Shape, str] | None:
    if any(FEATURES(query)) or query.high_mark == 0 or len(query.alias_map) != 1:
        return None
    lookup, model = _only_condition(query.where), cast("Any", query.model)
    if lookup is None or lookup.lhs.target is not model._meta.pk:
        return None
    shape = _shape(model, connection)
    if shape is None:
        return None
    try:
        _, (value,) = lookup.get_db_prep_lookup(lookup.rhs, connection)
        return shape, document_id(value, shape.key.kind)
    except (ValueError, OverflowError):
        return None  # not a valid document id; the planner handles it


def _only_condition(where: Any) -> Any:
    """The only condition, if it compares a column for equality with a plain value."""
    if where.negated or len(where.children) != 1:
        return None
    lookup = where.children[0]
    if type(lookup) not in EXACT_LOOKUPS or type(lookup.lhs) is not Col or lookup.bilateral_transforms:
        return None
    return None if lookup.rhs is None or hasattr(lookup.rhs, "resolve_expression") else lookup


def _shape(model: Any, connection: Any) -> Shape | None:
    """The shape of a model, cached per connection; None for a model whose rows are in several collections."""
    known: dict[Any, Shape | None] = connection.cache.row_shapes
    if model not in known:
        meta = model._meta
        simple = (
            not collation_of(meta.pk) and not meta.parents and meta.concrete_model is model and not meta.is_composite_pk
        )
        stored = not any(field.generated for field in meta.concrete_fields)  # SQLite computes generated columns
        shape = Shape(model, connection) if simple and stored else None
        known[model] = shape if shape is not None and shape.key.kind in SORTED_KINDS else None
    return known[model]
