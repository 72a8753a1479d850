"""The documents with buffered writes that may match a read, without a look at the others.

Found by the filter's equalities and ranges, of which `write_buffer.ColumnIndex` keeps an index. Pure: the filter itself
is evaluated later, by the mirror or in Python.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ..query.plan import And, Compare, Filter, Merge, Op, Or, Read, collections_of
from ..rpc import codec
from ..values.document_ids import SORTED_KINDS, document_id_or_none
from ..values.types import DOCUMENT_ID, Ref
from .write_buffer import BY_ID, Buffer, Entry, Token

LOWER, UPPER = frozenset({Op.GT, Op.GE}), frozenset({Op.LT, Op.LE})
RANGES: Final = LOWER | UPPER


def entries_for(buffer: Buffer, read: Read) -> Mapping[str, Entry]:
    """The entries of a read's collection that may match it, by id."""
    collection = collections_of(read)[0]
    entries = buffer.entries_of(collection)
    filters = [query.where for query in read.branches] if isinstance(read, Merge) else [getattr(read, "where", None)]
    ids = _either([_ids(buffer, collection, where) for where in filters])
    return entries if ids is None else {id: entries[id] for id in ids if id in entries}


def _ids(buffer: Buffer, collection: str, where: Filter | None) -> Collection[str] | None:
    """The ids of documents with buffered writes that may match a filter; None if any may."""
    match where:
        case Compare(ref, Op.EQ | Op.IN | Op.IS_NULL as op, value) if len(ref.path) == 1:
            values = value if op is Op.IN else (value,)
            if ref.path == DOCUMENT_ID.path:
                return list(values)
            if ref.key:
                keys = [value for value in values if value is not None]  # no row has NULL for a key
                return [id for key in keys if (id := document_id_or_none(key, ref.kind)) is not None]
            tokens = [token for value in values if (token := codec.token(codec.value(value, ref.kind))) is not None]
            known = len(tokens) == len(values)
            return buffer.index(collection, ref.path[0]).find(tokens) if known else None
        case Compare(_, op) if op in RANGES:
            return _between(buffer, collection, [where])
        case And(children):
            ranges, others = _by_column(children)
            found = [_between(buffer, collection, bounds) for bounds in ranges]
            found += [_ids(buffer, collection, child) for child in others]
            return min((ids for ids in found if ids is not None), key=len, default=None)
        case Or(children):
            return _either([_ids(buffer, collection, child) for child in children])
    return None


def _between(buffer: Buffer, collection: str, bounds: Sequence[Compare]) -> Collection[str] | None:
    """The ids of documents that may be in the range of a column; None if any may."""
    ref = bounds[0].ref
    if len(ref.path) != 1 or (ref.key and ref.kind not in SORTED_KINDS):
        return None
    by_id = ref.key or ref.path == DOCUMENT_ID.path
    low, high = (
        next((_bound(bound, by_id) for bound in bounds if bound.op in operators), None) for operators in (LOWER, UPPER)
    )
    if low is None and high is None:
        return None
    return buffer.index(collection, BY_ID if by_id else ref.path[0]).between(low, high)


def _by_column(filters: Iterable[Filter]) -> tuple[Collection[Sequence[Compare]], Sequence[Filter]]:
    """The ranges among filters, by column, and the others."""
    ranges: dict[Ref, list[Compare]] = {}
    others: list[Filter] = []
    for condition in filters:
        if isinstance(condition, Compare) and condition.op in RANGES:
            ranges.setdefault(condition.ref, []).append(condition)
        else:
            others.append(condition)
    return ranges.values(), others


def _bound(bound: Compare, by_id: bool) -> Token | None:
    """The token of a range's end; None for a value that has no order."""
    if not by_id:
        return codec.token(codec.value(bound.value, bound.ref.kind))
    id = bound.value
    if id is not None and bound.ref.path != DOCUMENT_ID.path:
        id = document_id_or_none(id, bound.ref.kind)
    return None if id is None else ("id", id)


def _either(found: Sequence[Collection[str] | None]) -> Collection[str] | None:
    """The ids of several alternatives, each once; None if one of them is not limited to ids."""
    ids: dict[str, None] = {}
    for some_ids in found:
        if some_ids is None:
            return None
        ids.update(dict.fromkeys(some_ids))
    return ids
