"""Derives the composite index of a query, as an entry of `firestore.indexes.json`.

Firestore's automatic indexes serve equalities only, or a single range or order. Other queries need a composite index:
equality fields first, then the sort keys with their directions, then aggregated fields. A vector field comes last.
https://firebase.google.com/docs/firestore/query-data/index-overview
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from ..query.plan import Compare, Filter, Get, Merge, Nearest, Op, Query, Read
from ..rpc import messages
from ..values import document_ids
from ..values.types import DOCUMENT_ID, Ref

Definition: TypeAlias = dict[str, Any]

ASCENDING, DESCENDING = "ASCENDING", "DESCENDING"
NAME: Final = DOCUMENT_ID.path[0]
ARRAYS: Final = frozenset({Op.ARRAY_CONTAINS, Op.ARRAY_CONTAINS_ANY})


def definition(collection: str, fields: Iterable[dict[str, Any]]) -> Definition:
    """One entry of `indexes`."""
    return {"collectionGroup": collection, "queryScope": "COLLECTION", "fields": list(fields)}


def sorted_field(path: str, descending: bool = False) -> dict[str, Any]:
    """A field of a filter or sort key."""
    return {"fieldPath": path, "order": DESCENDING if descending else ASCENDING}


def vector_field(path: str, dimension: int) -> dict[str, Any]:
    """A vector field. Only vectors with this dimension are found."""
    return {"fieldPath": path, "vectorConfig": {"dimension": dimension, "flat": {}}}


def required_index(read: Read, aggregated: Sequence[Ref] = ()) -> Definition | None:
    """The composite index that a read needs, or None. `aggregated` are the columns of sums and averages."""
    if isinstance(read, Get):
        return None
    if isinstance(read, Merge):
        return next((found for branch in read.branches if (found := required_index(branch, aggregated))), None)
    if isinstance(read, Nearest):
        return _for_nearest(read)
    return _for_query(read, aggregated)


def _for_query(query: Query, aggregated: Sequence[Ref]) -> Definition | None:
    orders = list(messages.total_orders(query))
    if orders[-1].ref == DOCUMENT_ID and orders[-1].descending == (len(orders) > 1 and orders[-2].descending):
        orders.pop()  # every index implicitly ends in the name, in the direction of the field before it
    keys = {document_ids.field_path(order.ref.path): order.descending for order in orders}
    equal = _equal_fields(query.where, exclude=keys)
    fields = [*equal, *(sorted_field(path, descending) for path, descending in keys.items())]
    known = {field["fieldPath"] for field in fields}
    fields += [sorted_field(path) for ref in aggregated if (path := document_ids.field_path(ref.path)) not in known]
    if len(fields) < 2 or not (keys or aggregated):
        return None
    return definition(query.collection, fields)


def _for_nearest(read: Nearest) -> Definition:
    ranges = dict.fromkeys(document_ids.field_path(ref.path) for ref in messages.inequality_refs(read.query.where))
    fields = [*_equal_fields(read.query.where, exclude=ranges), *map(sorted_field, ranges)]
    vector = vector_field(document_ids.field_path(read.ref.path), len(read.vector))
    return definition(read.query.collection, [*fields, vector])


def _equal_fields(where: Filter | None, exclude: Iterable[str]) -> list[dict[str, Any]]:
    """The fields compared for equality, sorted by name."""
    found: dict[str, dict[str, Any]] = {}
    for leaf in _leaves(where):
        path = document_ids.field_path(leaf.ref.path)
        if leaf.op in messages.INEQUALITIES or path == NAME:
            continue
        found[path] = {"fieldPath": path, "arrayConfig": "CONTAINS"} if leaf.op in ARRAYS else sorted_field(path)
    return [found[path] for path in sorted(found.keys() - set(exclude))]


def _leaves(where: Filter | None) -> Iterator[Compare]:
    if isinstance(where, Compare):
        yield where
    elif where is not None:
        for child in where.children:
            yield from _leaves(child)
