"""Translates plans to Firestore's request messages. Pure: no I/O.

Functions that need full resource names take `documents`, the parent of all documents
(`projects/P/databases/D/documents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from ..query.plan import (
    Aggregate,
    And,
    Compare,
    Create,
    Delete,
    Filter,
    Function,
    Get,
    Measure,
    Merge,
    Nearest,
    Op,
    Or,
    Order,
    Put,
    Query,
    Read,
    Update,
    Write,
)
from ..values import document_ids, server_time
from ..values.types import DOCUMENT_ID, FIELDS, VERSION, Kind, Ref
from . import codec
from .channel import Message, pb

_FieldFilter: Final = pb["StructuredQuery"].FieldFilter
_UnaryFilter: Final = pb["StructuredQuery"].UnaryFilter
_CompositeFilter: Final = pb["StructuredQuery"].CompositeFilter
_Direction: Final = pb["StructuredQuery"].Direction
_FindNearest: Final = pb["StructuredQuery"].FindNearest
_FieldTransform: Final = pb["DocumentTransform"].FieldTransform

FIELD_OPERATORS: Final[Mapping[Op, int]] = {
    Op.EQ: _FieldFilter.EQUAL,
    Op.NE: _FieldFilter.NOT_EQUAL,
    Op.LT: _FieldFilter.LESS_THAN,
    Op.LE: _FieldFilter.LESS_THAN_OR_EQUAL,
    Op.GT: _FieldFilter.GREATER_THAN,
    Op.GE: _FieldFilter.GREATER_THAN_OR_EQUAL,
    Op.IN: _FieldFilter.IN,
    Op.NOT_IN: _FieldFilter.NOT_IN,
    Op.ARRAY_CONTAINS: _FieldFilter.ARRAY_CONTAINS,
    Op.ARRAY_CONTAINS_ANY: _FieldFilter.ARRAY_CONTAINS_ANY,
}
UNARY_OPERATORS: Final[Mapping[Op, int]] = {
    Op.IS_NULL: _UnaryFilter.IS_NULL,
    Op.IS_NOT_NULL: _UnaryFilter.IS_NOT_NULL,
    Op.IS_NOT_NAN: _UnaryFilter.IS_NOT_NAN,
}
MULTI_VALUE: Final = frozenset({Op.IN, Op.NOT_IN, Op.ARRAY_CONTAINS_ANY})
INEQUALITIES: Final = frozenset({Op.LT, Op.LE, Op.GT, Op.GE, Op.NE, Op.NOT_IN, Op.IS_NOT_NULL, Op.IS_NOT_NAN})
"""Operators whose field Firestore adds to the sort order implicitly."""

MEASURES: Final[Mapping[Measure, int]] = {
    Measure.COSINE: _FindNearest.COSINE,
    Measure.EUCLIDEAN: _FindNearest.EUCLIDEAN,
    Measure.DOT_PRODUCT: _FindNearest.DOT_PRODUCT,
}
DISTANCE: Final = "__%distance"
"""The result field for the distance of `find_nearest`. No column can have this name."""

MARK: Final = codec.MARK

MOST_ROWS: Final = 2**31 - 1
"""The largest limit of a query, an int32. No collection that a query reads has more documents."""

_WITHOUT_FIELD: Final = frozenset({DOCUMENT_ID.path, VERSION.path})


# Reads.


def structured_query(query: Query, documents: str, extra: Sequence[Ref] = ()) -> Message:
    """A `StructuredQuery`. `extra` columns are read in addition to the query's."""
    message = pb["StructuredQuery"]()
    message.from_.add().collection_id = query.collection
    for path in projection_paths((*query.columns, *extra)):
        message.select.fields.add().field_path = path
    if query.where is not None:
        _write_filter(message.where, query.where, query.collection, documents)
    write_orders(message, query.orders)
    if query.start_after:
        for order, content in zip(query.orders, query.start_after, strict=True):
            message.start_at.values.append(_value(order.ref, content, query.collection, documents))
        message.start_at.before = False
    if query.limit is not None:
        message.limit.value = min(query.limit, MOST_ROWS)
    message.offset = query.offset
    return message


@lru_cache(maxsize=1024)
def projection_paths(columns: tuple[Ref, ...]) -> tuple[str, ...]:
    """The field paths of a query's projection, empty for whole documents. `__name__` alone reads no field."""
    if FIELDS in columns:
        return ()
    paths = dict.fromkeys(document_ids.field_path(ref.path) for ref in columns if ref.path not in _WITHOUT_FIELD)
    return tuple(paths) or DOCUMENT_ID.path


def mask_paths(columns: tuple[Ref, ...]) -> tuple[str, ...]:
    """The field mask of a read by id. `__name__` is not valid there, so to read no column, MARK is requested."""
    paths = projection_paths(columns)
    return (document_ids.quoted(MARK),) if paths == DOCUMENT_ID.path else paths


@lru_cache(maxsize=1024)
def _mask(columns: tuple[Ref, ...]) -> Message:
    """The field mask as a message, to be copied."""
    return pb["DocumentMask"](field_paths=mask_paths(columns))


def write_orders(message: Message, orders: Sequence[Order]) -> None:
    """Replaces a structured query's sort keys."""
    del message.order_by[:]
    for order in orders:
        made = message.order_by.add()
        made.field.field_path = document_ids.field_path(order.ref.path)
        made.direction = _Direction.DESCENDING if order.descending else _Direction.ASCENDING


def total_orders(query: Query) -> tuple[Order, ...]:
    """All sort keys that Firestore applies: the query's, the fields of inequalities, and the document name.

    https://firebase.google.com/docs/firestore/reference/rpc/google.firestore.v1#structuredquery
    """
    descending = bool(query.orders) and query.orders[-1].descending
    known = {order.ref.path for order in query.orders}
    implied = {ref.path: ref for ref in inequality_refs(query.where) if ref.path not in known}
    implied.pop(DOCUMENT_ID.path, None)
    made = [*query.orders, *(Order(implied[path], descending) for path in sorted(implied, key=document_ids.field_path))]
    if DOCUMENT_ID.path not in known:
        made.append(Order(DOCUMENT_ID, descending))
    return tuple(made)


def inequality_refs(where: Filter | None) -> Iterator[Ref]:
    """The field paths of a filter's inequalities."""
    if isinstance(where, Compare):
        if where.op in INEQUALITIES:
            yield where.ref
    elif where is not None:
        for child in where.children:
            yield from inequality_refs(child)


def cursor_values(document: Message, orders: Sequence[Order]) -> list[Message]:
    """A document's position in a sort order: one `Value` for each sort key."""
    return [_sort_value(document, order.ref) for order in orders]


def _sort_value(document: Message, ref: Ref) -> Message:
    if ref.path == DOCUMENT_ID.path:
        return pb["Value"](reference_value=document.name)
    fields, message = document.fields, None
    for key in ref.path:
        message = fields[document_ids.escape_key(key)]
        fields = message.map_value.fields
    return message


def _write_filter(message: Message, where: Filter, collection: str, documents: str) -> None:
    if isinstance(where, Compare):
        _write_comparison(message, where, collection, documents)
        return
    composite = message.composite_filter
    composite.op = _CompositeFilter.AND if isinstance(where, And) else _CompositeFilter.OR
    for child in where.children:
        _write_filter(composite.filters.add(), child, collection, documents)


def _write_comparison(message: Message, compare: Compare, collection: str, documents: str) -> None:
    path = document_ids.field_path(compare.ref.path)
    if compare.op in UNARY_OPERATORS:
        message.unary_filter.field.field_path = path
        message.unary_filter.op = UNARY_OPERATORS[compare.op]
        return
    made = message.field_filter
    made.field.field_path = path
    made.op = FIELD_OPERATORS[compare.op]
    if compare.op in MULTI_VALUE:
        values = made.value.array_value.values
        values.extend(_value(compare.ref, content, collection, documents) for content in compare.value)
    else:
        made.value.CopyFrom(_value(compare.ref, compare.value, collection, documents))


def _value(ref: Ref, content: Any, collection: str, documents: str) -> Message:
    if ref.path == DOCUMENT_ID.path:
        return pb["Value"](reference_value=f"{documents}/{collection}/{content}")
    return codec.value(content, ref.kind, len(ref.path) - 1)


def run_query(query: Query, documents: str, extra: Sequence[Ref] = (), transaction: bytes | None = None) -> Message:
    """A `RunQueryRequest`."""
    message = pb["RunQueryRequest"](parent=documents, structured_query=structured_query(query, documents, extra))
    if transaction:
        message.transaction = transaction
    return message


def nearest(read: Nearest, documents: str, transaction: bytes | None = None) -> Message:
    """A `RunQueryRequest` with `find_nearest`."""
    request = run_query(read.query, documents, transaction=transaction)
    made = request.structured_query.find_nearest
    made.vector_field.field_path = document_ids.field_path(read.ref.path)
    made.query_vector.CopyFrom(codec.value(read.vector, Kind.VECTOR))
    made.distance_measure = MEASURES[read.measure]
    made.limit.value = read.offset + read.limit
    if read.threshold is not None:
        made.distance_threshold.value = read.threshold
    if read.distance or read.defined:
        made.distance_result_field = DISTANCE
        request.structured_query.select.fields.add().field_path = document_ids.quoted(DISTANCE)
    return request


def aggregation(
    source: Query, aggregates: Sequence[Aggregate], documents: str, transaction: bytes | None = None
) -> Message:
    """A `RunAggregationQueryRequest` whose result aliases are a0, a1, ..."""
    message = pb["RunAggregationQueryRequest"](parent=documents)
    made = message.structured_aggregation_query
    made.structured_query.CopyFrom(structured_query(source, documents))
    made.structured_query.ClearField("select")
    for number, aggregate in enumerate(aggregates):
        one = made.aggregations.add()
        one.alias = f"a{number}"
        if aggregate.function is Function.COUNT:
            one.count.SetInParent()
        elif aggregate.ref is not None:
            getattr(one, aggregate.function.value).field.field_path = document_ids.field_path(aggregate.ref.path)
    if transaction:
        message.transaction = transaction
    return message


def get_document(read: Get, documents: str, transaction: bytes | None = None) -> Message:
    """A `GetDocumentRequest` for the first id."""
    name = f"{documents}/{read.collection}/{read.ids[0]}"
    message = pb["GetDocumentRequest"](name=name, mask=_mask(read.columns))
    if transaction:
        message.transaction = transaction
    return message


def batch_get(
    names: Sequence[str], paths: Sequence[str] | None, database: str, transaction: bytes | None = None
) -> Message:
    """A `BatchGetDocumentsRequest` for full names. With `paths=None` it reads whole documents."""
    message = pb["BatchGetDocumentsRequest"](database=database, documents=names)
    if paths is not None:
        message.mask.field_paths.extend(paths)
    if transaction:
        message.transaction = transaction
    return message


# Writes.


def document_name(write: Write, documents: str) -> str:
    """The resource name of a write's document."""
    return f"{documents}/{write.collection}/{write.id}"


def write(change: Write, documents: str, mark: str = "") -> Message:
    """A `Write`. Updates store `mark` in the field `MARK`, so that a retry can recognise them."""
    return _WRITERS[type(change)](change, document_name(change, documents), mark)


def _write_create(change: Create, name: str, mark: str) -> Message:
    made = _write_document(change, name)
    made.current_document.exists = False
    return made


def _write_put(change: Put, name: str, mark: str) -> Message:
    made = _write_document(change, name)
    if change.must_exist:
        made.current_document.exists = True
    return made


def _write_document(change: Create | Put | Update, name: str) -> Message:
    if isinstance(change, Update) or change.content is None:
        made = content(change)
    else:
        made = pb["Write"]()
        made.CopyFrom(change.content)
    made.update.name = name
    return made


def content(change: Create | Put | Update) -> Message:
    """A `Write` with the columns and values alone."""
    made = pb["Write"]()
    columns, values = change.columns, change.values
    if replaced := server_time.places(values):
        for place in replaced:
            transform = made.update_transforms.add()
            transform.field_path = document_ids.field_path(columns[place].path)
            transform.set_to_server_value = _FieldTransform.REQUEST_TIME
        columns = tuple(ref for place, ref in enumerate(columns) if place not in replaced)
        values = tuple(value for place, value in enumerate(values) if place not in replaced)
    codec.row_writer(columns)(made.update.fields, values)
    return made


def _write_update(change: Update, name: str, mark: str) -> Message:
    made = _write_document(change, name)
    made.update_mask.SetInParent()  # an empty mask changes nothing; without a mask the document would be replaced
    replaced = server_time.places(change.values)
    made.update_mask.field_paths.extend(
        document_ids.field_path(ref.path) for place, ref in enumerate(change.columns) if place not in replaced
    )
    for ref, amount in change.increments:
        transform = made.update_transforms.add()
        transform.field_path = document_ids.field_path(ref.path)
        codec.encode(transform.increment, amount, Kind.ANY)
    for bounds, name_of in ((change.least, "minimum"), (change.greatest, "maximum")):
        for ref, bound in bounds:
            transform = made.update_transforms.add()
            transform.field_path = document_ids.field_path(ref.path)
            codec.encode(getattr(transform, name_of), bound, ref.kind)
    if mark:
        made.update.fields[MARK].string_value = mark
        made.update_mask.field_paths.append(document_ids.quoted(MARK))
    if not change.upsert:
        _set_precondition(made, change.version)
    return made


def _write_delete(change: Delete, name: str, mark: str) -> Message:
    made = pb["Write"](delete=name)
    if change.must_exist or change.version is not None:
        _set_precondition(made, change.version)
    return made


def _set_precondition(made: Message, version: Any) -> None:
    if version is None:
        made.current_document.exists = True
    else:
        made.current_document.update_time.seconds, made.current_document.update_time.nanos = version


_WRITERS: Final[Mapping[type, Any]] = {
    Create: _write_create,
    Put: _write_put,
    Update: _write_update,
    Delete: _write_delete,
}


# Descriptions for logs and `connection.queries`. They contain no values.


def describe(read: Read) -> str:
    """A one-line summary of a read, without the values of its filters."""
    if isinstance(read, Get):
        return f"{read.collection}: {len(read.ids)} by id"
    if isinstance(read, Merge):
        return f"{describe(read.branches[0])} (and {len(read.branches) - 1} more, merged)"
    if isinstance(read, Nearest):
        return f"{describe(read.query)} nearest {read.limit} by {read.ref.name} ({read.measure})"
    parts = [read.collection + ":"]
    if read.where is not None:
        parts.append(f"where {_describe_filter(read.where)}")
    if read.orders:
        parts.append("order by " + ", ".join(("-" if key.descending else "") + key.ref.name for key in read.orders))
    if read.offset:
        parts.append(f"offset {read.offset}")
    parts.append("all" if read.limit is None else f"limit {read.limit}")
    return " ".join(parts)


def _describe_filter(where: Filter) -> str:
    if isinstance(where, Compare):
        if where.op in UNARY_OPERATORS:
            return f"{where.ref.name} {where.op}"
        return f"{where.ref.name} {where.op} {f'({len(where.value)})' if where.op in MULTI_VALUE else '?'}"
    joined = f" {'or' if isinstance(where, Or) else 'and'} ".join(_describe_filter(child) for child in where.children)
    return f"({joined})" if isinstance(where, Or) else joined
