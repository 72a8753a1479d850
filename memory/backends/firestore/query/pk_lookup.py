"""A fast path for queries by primary key: `get(pk=...)`, and updates and deletes of one row, without compiling.

Compiling such a query takes more time than the RPC. The fast path applies if the query selects columns of one model,
the primary key must equal a value, and no other feature is used. Other conditions, such as "not expired", are evaluated
on the row (`evaluate.py`). All other queries are compiled.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, cast

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.sql import Query as DjangoQuery
from django.db.models.sql.where import AND

from ..cache import is_kept
from ..values.document_ids import SORTED_KINDS, document_id
from ..values.types import Ref, plain
from .ast import FALSE, TRUE, Condition, all_of
from .evaluate import columns_of, is_evaluable
from .lowering import Lowering, collation_of, column_ref
from .normalize import negation_normal_form
from .plan import Get

EXACT_LOOKUPS: Final = frozenset({lookups.Exact, lookups.IntegerFieldExact})
FEATURES: Final = attrgetter(
    "annotations", "combinator", "distinct", "extra", "extra_tables", "group_by", "low_mark", "select",
    "select_for_update", "select_related", "values_select",
)  # fmt: skip
"""Reads the attributes that must be empty in a query. Ordering and an upper limit do not matter for a single row."""


class Shape:
    """The columns of a model that a query loads, in the form of Django's iterators.

    `converters` are set on first use in a time zone of the connection, which decides on those of datetimes.
    """

    def __init__(self, model: Any, loaded: Any, connection: Any) -> None:
        fields = [field for field in model._meta.concrete_fields if not loaded or field in loaded]
        alias = model._meta.db_table
        self.model = model
        self.select = [(field.get_col(alias), ("", ()), None) for field in fields]
        self.columns: tuple[Ref, ...] = tuple(column_ref(field, connection) for field in fields)
        self.column_set = frozenset(self.columns)
        self.key = column_ref(model._meta.pk, connection)
        self.converters: dict[Any, dict[int, Any]] = {}

    def klass_info(self) -> dict[str, Any]:
        """Django's `klass_info` for the model's columns. A new dict each time, since Django may modify it."""
        return {"model": self.model, "select_fields": list(range(len(self.select)))}


def match_select(compiler: Any) -> tuple[Shape, Get, Condition] | None:
    """The shape, the read and the condition on the row, of a query for one row by its primary key; None for others."""
    query, connection = compiler.query, compiler.connection
    if query.__class__ is not DjangoQuery or not query.default_cols:
        return None
    found = _match(query, connection)
    if found is None:
        return None
    shape, id, others = found
    residue: Condition = TRUE
    if others:
        lowering = Lowering(compiler, shape.model._meta.db_table)
        residue = negation_normal_form(all_of(map(lowering.condition, others)))
        known = is_evaluable(residue) and residue != FALSE
        if not known or not shape.column_set.issuperset(columns_of(residue)):
            return None
    return shape, Get(shape.model._meta.db_table, (id,), shape.columns), residue


def match_write(query: Any, connection: Any) -> str | None:
    """The document id of an UPDATE or DELETE of one row by its primary key; None for any other query."""
    found = _match(query, connection)
    return None if found is None or found[2] else found[1]


def _match(query: Any, connection: Any) -> tuple[Shape, str, list[Any]] | None:
    """The shape, the document id, and the other conditions."""
    if any(FEATURES(query)) or query.high_mark == 0 or len(query.alias_map) != 1:
        return None
    where, model = query.where, cast("Any", query.model)
    if where.negated or where.connector != AND:
        return None
    lookup = next((node for node in where.children if _is_exact(node) and node.lhs.target is model._meta.pk), None)
    if lookup is None:
        return None
    others = [node for node in where.children if node is not lookup]
    shape = _shape(query, connection)
    if shape is None:
        return None
    try:
        _, (value,) = lookup.get_db_prep_lookup(lookup.rhs, connection)
        return shape, document_id(plain(value), shape.key.kind), others
    except (ValueError, OverflowError):
        return None  # not a valid document id; the planner handles it


def _is_exact(node: Any) -> bool:
    """Whether a condition compares a column for equality with a plain value."""
    if type(node) not in EXACT_LOOKUPS or type(node.lhs) is not Col or node.bilateral_transforms:
        return False
    return node.rhs is not None and not hasattr(node.rhs, "resolve_expression")


def _shape(query: Any, connection: Any) -> Shape | None:
    """The shape of a query's rows, cached per connection; None for a model whose rows are in several collections."""
    known: dict[Any, tuple[Any, Shape | None]] = connection.cache.row_shapes
    names, is_deferred = query.deferred_loading
    key, fields = (query.model, frozenset(names), is_deferred), query.model._meta.concrete_fields
    found = known.get(key)
    if found is None or found[0] is not fields:  # Django replaces the list when a model's fields change
        found = fields, _new_shape(query, connection)
        if is_kept(query.model):
            known[key] = found
    return found[1]


def _new_shape(query: Any, connection: Any) -> Shape | None:
    model, meta = query.model, query.model._meta
    simple = (
        not collation_of(meta.pk) and not meta.parents and meta.concrete_model is model and not meta.is_composite_pk
    )
    stored = not any(field.generated for field in meta.concrete_fields)  # SQLite computes generated columns
    if not simple or not stored or column_ref(meta.pk, connection).kind not in SORTED_KINDS:
        return None
    return Shape(model, query.get_select_mask(), connection)
