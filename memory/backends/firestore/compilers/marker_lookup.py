"""The validation of a unique constraint with expressions: `UniqueConstraint(Lower("email"))`.

Django asks whether a row exists whose expressions have the values of an instance. Firestore cannot compare expressions,
but the marker of these values names the row that has them (`constraints/definitions.py`), if any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import Value
from django.db.models.lookups import Exact

from ..constraints.definitions import OWNER, Key, canonical_value, collation, unique_keys
from ..mirror.load_plan import JoinGraph
from ..mirror.table_refs import conjuncts, inner_queries, models
from ..query.ast import FALSE, Condition, all_of
from ..query.lowering import is_composite, key_ref
from ..query.plan import Compare, Get, Op
from ..values.document_ids import document_key, is_shortened
from ..values.marker_collections import marker_collection
from ..values.types import Kind

Compiled = tuple[str, tuple[Any, ...]]
"""The SQL of an expression and its parameters."""


def narrowed(compiler: Any, graph: JoinGraph) -> JoinGraph:
    """The join graph of a query like those of `UniqueConstraint.validate()`, for the row that its marker names."""
    query = compiler.inner.query
    if query.model is None:  # `Q.check()` of a condition and `Exists`
        inner = list(inner_queries(query)) if len(models(query)) == 1 else []
        query = inner[0] if len(inner) == 1 else None
    elif not (query.high_mark == 1 and query.annotation_select and not (query.select or query.default_cols)):
        return graph
    if query is None or not graph.table_refs or not _asks_existence(query):
        return graph
    condition = _condition(compiler.connection, query)
    if condition is None:
        return graph
    first, *others = graph.table_refs
    return replace(graph, table_refs=(replace(first, condition=all_of([first.condition, condition])), *others))


def _asks_existence(query: Any) -> bool:
    """Whether a query selects at most constants of the rows of one table."""
    tables = [alias for alias, count in query.alias_refcount.items() if count]
    constants = all(isinstance(one, Value) for one in query.annotation_select.values())
    plain = not (query.combinator or query.extra_tables or query.extra or query.group_by is not None or query.distinct)
    return plain and len(tables) <= 1 and constants and not is_composite(query.model)


def _condition(connection: Any, query: Any) -> Condition | None:
    """The condition on the key of the row that a marker names; None if the query is of no unique constraint."""
    keys = [key for key in unique_keys(query.model) if key.expressions and key.nulls_distinct]
    if not keys or query.where.negated:
        return None
    inner = connection.mirror.compiler(query)
    nodes = list(conjuncts(query.where))
    compiled = {_compiled(inner, node) for node in nodes}
    equal = {_compiled(inner, node.lhs): node.rhs for node in nodes if type(node) is Exact}
    for key in keys:
        values = [equal.get(_compiled(inner, one.resolve_expression(query, allow_joins=False))) for one in key.compared]
        if None in values or not compiled.issuperset(_conditions(inner, query, key)):
            continue
        if any(not _is_constant(value) for value in values):
            continue
        return _owner(connection, key, [_value(connection, inner, value) for value in values])
    return None


def _conditions(inner: Any, query: Any, key: Key) -> Iterator[Compiled]:
    """The compiled conjuncts of a constraint's condition."""
    if key.condition is not None:
        for node in conjuncts(query.build_where(key.condition)):
            yield _compiled(inner, node)


def _compiled(inner: Any, node: Any) -> Compiled:
    try:
        sql, params = inner.compile(node)
    except (EmptyResultSet, FullResultSet) as constant:
        sql, params = type(constant).__name__, ()
    return sql, tuple(map(repr, params))


def _is_constant(value: Any) -> bool:
    """Whether an expression refers to no column."""
    if not hasattr(value, "resolve_expression"):
        return True
    if hasattr(value, "alias") or hasattr(value, "query"):
        return False
    return all(_is_constant(source) for source in value.get_source_expressions() if source is not None)


def _value(connection: Any, inner: Any, value: Any) -> Any:
    """The value of a constant expression, computed by SQLite."""
    if not hasattr(value, "as_sql"):
        return value
    sql, params = inner.compile(value)
    return connection.mirror.returning(f"SELECT {sql}", params)[0][0]


def _owner(connection: Any, key: Key, values: list[Any]) -> Condition | None:
    """The condition on the row that owns the marker of these values."""
    names = [collation(expression, key.model) for expression in key.compared]
    marker = key.marker([canonical_value(value, Kind.ANY, name) for value, name in zip(values, names, strict=True)])
    if marker is None:
        return FALSE  # a value is null, which equals nothing
    rows = list(connection.plan_cursor().run(Get(marker_collection(key.table), (marker,), (OWNER,))))
    if not rows:
        return FALSE
    ref, [(owner,)] = key_ref(key.model, connection), rows
    return None if is_shortened(owner) else Compare(ref, Op.IN, (document_key(owner, ref.kind),))
