"""Plans a query tree: the reads that answer it exactly, or else a small superset that Firestore can select.

No I/O and no Django. A condition in negation normal form (`normalize.py`) becomes one query if it is within Firestore's
limits. Otherwise it is split at its widest disjunction into several queries, which are merged in order.

Limits: https://firebase.google.com/docs/firestore/query-data/queries#limits_on_or_queries
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations, pairwise
from math import prod
from typing import Any, Final, TypeAlias
from uuid import UUID

from ..values.document_ids import SORTED_KINDS, composite_id, document_id_or_none
from ..values.types import DOCUMENT_ID, Kind, Ref
from .ast import FALSE, TRUE, AnyOf, Condition, Select, all_of
from .evaluate import columns_of, is_evaluable
from .normalize import (
    filter_of,
    is_too_long,
    may_be_absent,
    negation_normal_form,
    parts_of,
    superset_condition,
    unsupported_parts,
)
from .plan import (
    MAX_DISJUNCTIONS,
    MAX_FILTER_BYTES,
    MAX_FILTERS_AND_ORDERS,
    MAX_IN_VALUES,
    MAX_INEQUALITY_FIELDS,
    MAX_NOT_IN_VALUES,
    And,
    Compare,
    Filter,
    Get,
    Merge,
    Op,
    Or,
    Order,
    Query,
    Read,
    conjuncts,
)

# With more queries than this for one statement, the mirror is cheaper.
MAX_BRANCHES: Final = 200

INEQUALITIES: Final = frozenset({Op.LT, Op.LE, Op.GT, Op.GE, Op.NE, Op.NOT_IN, Op.IS_NOT_NULL})
UNEQUAL: Final = frozenset({Op.NE, Op.NOT_IN, Op.IS_NOT_NULL})  # at most one of these in a query

# The operators for a single value.
ONE_OF: Final = {Op.IN: Op.EQ, Op.ARRAY_CONTAINS_ANY: Op.ARRAY_CONTAINS}

ARRAYS: Final = frozenset({Op.ARRAY_CONTAINS, Op.ARRAY_CONTAINS_ANY})  # at most one of these in a disjunct

# The smallest value of each kind: `is not null` is equivalent to `>=` this value.
LEAST: Final[dict[Kind, Any]] = {
    Kind.BOOLEAN: False,
    Kind.INTEGER: -(2**63),
    Kind.TEXT: "",
    Kind.BINARY: b"",
    Kind.DATETIME: datetime.min.replace(tzinfo=UTC),
    Kind.MOMENT: datetime.min.replace(tzinfo=UTC),
    Kind.DATE: date.min,
    Kind.TIME: time.min,
    Kind.DURATION: timedelta(microseconds=-(2**63)),  # stored as 64 bits
    Kind.UUID: UUID(int=0),
}
# Kinds that Firestore does not sort as SQL does.
UNSORTABLE: Final = frozenset({Kind.JSON, Kind.VECTOR, Kind.ANY})


@dataclass(frozen=True, slots=True)
class NoRows:
    """No row can match, so nothing is read."""


@dataclass(frozen=True, slots=True)
class SortedGet:
    """Documents by id, which the caller filters, sorts and slices.

    `orders` are pairs of (position in the row, descending). `residue` is the condition on the rows, in negation normal
    form (`query/evaluate.py`). The first `width` columns are those of the select.
    """

    read: Get
    orders: tuple[tuple[int, bool], ...]
    limit: int | None
    offset: int
    width: int
    residue: Condition = TRUE


@dataclass(frozen=True, slots=True)
class Sifted:
    """A read whose rows the caller filters in their order, until it has `offset + limit` (None: to the end).

    `residue` are the parts of the condition that match rows which lack a column. The first `width` columns are those
    of the select. `read` has no limit and no offset.
    """

    read: Query | Merge
    residue: Condition
    limit: int | None
    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class NotNative:
    """Firestore cannot answer the query. `unsupported` lists the parts of the query that it does not support."""

    unsupported: tuple[str, ...]


Answer = NoRows | Get | SortedGet | Sifted | Query | Merge


def plan(select: Select) -> Answer | NotNative:
    """The reads that answer `select` exactly, or the parts of it that Firestore does not support."""
    where = negation_normal_form(select.where)
    if where == FALSE or select.limit == 0:
        return NoRows()
    unsupported = (*select.unsupported, *unsupported_parts(where), *_unsortable(select.orders))
    if unsupported:
        return NotNative(tuple(dict.fromkeys(unsupported)))
    if (named := _ids_and_residue(where, select)) is not None:
        return _by_id(select, *named)
    if may_be_absent(where):
        return _sifted(select, where)
    if (too_long := _too_long(where)) is not None:
        return NotNative((f"{too_long.ref.name} (a value of more than {MAX_FILTER_BYTES} bytes)",))
    where = _key_as_name(where, select)
    branches = _split(None if where == TRUE else filter_of(where), len(select.orders))
    if branches is None:
        return NotNative(("too many alternatives in the filter",))
    return _read(select, branches)


def _sifted(select: Select, where: Condition) -> Answer | NotNative:
    """The read of the rows that match the other parts of the condition."""
    residue = all_of(part for part in parts_of(where) if may_be_absent(part))
    rest = all_of(part for part in parts_of(where) if not may_be_absent(part))
    if not is_evaluable(residue):
        return NotNative(tuple(dict.fromkeys(ref.name for ref in columns_of(residue))))
    more = (*columns_of(residue), *(order.ref for order in select.orders))
    columns = (*select.columns, *dict.fromkeys(ref for ref in more if ref not in select.columns))
    answer = plan(replace(select, where=rest, columns=columns, limit=None, offset=0))
    if not isinstance(answer, Query | Merge):
        return answer
    return Sifted(answer, residue, select.limit, select.offset, len(select.columns))


Served: TypeAlias = Callable[[Read], Read | None]
"""The read as indexes serve it, perhaps in another order, or None."""


def as_planned(read: Read) -> Read:
    """The default for `superset`: every read has its index."""
    return read


def superset(select: Select, served: Served = as_planned) -> Answer:
    """The reads of a superset of the matching rows: the conditions that Firestore supports, unsorted and unsliced.

    Conditions are left out until indexes serve the rest.
    """
    where = superset_condition(negation_normal_form(select.where))
    if where == FALSE:
        return NoRows()
    where = next((part for part in parts_of(where) if _ids(part, select) is not None), where)
    loose = replace(select, where=where, orders=(), limit=None, offset=0, unsupported=())
    answer = plan(loose)
    if isinstance(answer, NotNative):
        answer = plan(replace(loose, where=all_of(_narrow(parts_of(where)))))
    everything = Query(select.collection, select.columns)
    if isinstance(answer, NotNative):
        return everything
    if isinstance(answer, Query | Merge):
        return served(answer) or next(_looser(loose, served), everything)  # type: ignore[return-value]
    return answer


def _looser(loose: Select, served: Served) -> Iterator[Query | Merge]:
    """The reads of fewer conditions that indexes serve, those with most conditions first.

    Equalities are merged. Ranges need one index of all of them, which may have either direction.
    """
    parts = list(_narrow(parts_of(loose.where)))
    ranges = [part for part in parts if _is_unequal(part)]
    ranges.sort(key=lambda part: not isinstance(part, Compare))  # alternatives such as "null or later" select least
    equal = [part for part in parts if part not in ranges and _served(replace(loose, where=part), served)]
    for size in range(min(len(ranges), MAX_INEQUALITY_FIELDS), -1, -1):
        for some in combinations(ranges, size):
            where = all_of([*equal, *some])
            if where == TRUE:
                continue
            refs = dict.fromkeys(leaf.ref for leaf in _leaves(filter_of(where)) if leaf.op in INEQUALITIES)
            for orders in ((), *((Order(ref, descending),) for ref in refs for descending in (True, False))):
                if read := _served(replace(loose, where=where, orders=orders), served):
                    yield read


def _served(select: Select, served: Served) -> Query | Merge | None:
    answer = plan(select)
    found = served(answer) if isinstance(answer, Query | Merge) else None
    return found if isinstance(found, Query | Merge) else None


def _is_unequal(part: Condition) -> bool:
    return any(leaf.op in INEQUALITIES for leaf in _leaves(filter_of(part)))


def _too_long(where: Condition) -> Compare | None:
    """A comparison of a key with a value that is too long for a filter: only a document's id can take it."""
    leaves = () if where == TRUE else _leaves(filter_of(where))
    return next((leaf for leaf in leaves if is_too_long(leaf)), None)


def _unsortable(orders: Iterable[Order]) -> Iterator[str]:
    for order in orders:
        if order.ref.kind in UNSORTABLE or (len(order.ref.path) > 1 and order.ref != DOCUMENT_ID):
            yield f"order_by({order.ref.name})"


# --- documents by id ---


def _ids_and_residue(where: Condition, select: Select) -> tuple[tuple[str, ...], Condition] | None:
    """The document ids, and the condition on their rows; None if no conjunct selects rows by their primary key."""
    if (ids := _ids(where, select)) is not None:
        return ids, TRUE
    parts = parts_of(where)
    for named in _conditions_on_key(parts, select):
        residue = all_of(part for part in parts if part not in named)
        if (ids := _ids(all_of(named), select)) is not None and is_evaluable(residue):
            return ids, residue
    return None


def _conditions_on_key(parts: Sequence[Condition], select: Select) -> Iterator[Sequence[Condition]]:
    """The conjuncts that may select rows by their primary key."""
    yield from ([part] for part in parts)
    if select.key_parts:
        equal = {part.ref: part for part in parts if isinstance(part, Compare) and part.op is Op.EQ}
        yield [equal[ref] for ref in select.key_parts if ref in equal]


def _ids(where: Condition, select: Select) -> tuple[str, ...] | None:
    """The document ids, if the condition is only on the primary key; otherwise None."""
    key = select.key
    if select.key_parts:
        return _composite_ids(where, select.key_parts)
    match where:
        case Compare(ref, Op.EQ, value) if ref == key:
            values: Iterable[Any] = (value,)
        case Compare(ref, Op.IN, value) if ref == key:
            values = value
        case _:
            return None
    return tuple(name for value in values if (name := document_id_or_none(value, key.kind)) is not None)


def _composite_ids(where: Condition, key_parts: tuple[Ref, ...]) -> tuple[str, ...] | None:
    """The same for a composite key: equalities with all of its columns, or several of these."""
    if isinstance(where, AnyOf):
        several = [_composite_ids(child, key_parts) for child in where.children]
        known = [ids for ids in several if ids is not None]
        return tuple(id for ids in known for id in ids) if len(known) == len(several) else None
    leaves = [part for part in parts_of(where) if isinstance(part, Compare) and part.op is Op.EQ]
    values = {leaf.ref: leaf.value for leaf in leaves}
    if len(leaves) != len(parts_of(where)) or len(leaves) != len(key_parts) or set(values) != set(key_parts):
        return None
    try:
        return (composite_id([(values[ref], ref.kind) for ref in key_parts]),)
    except ValueError:
        return ()


def _key_as_name(where: Condition, select: Select) -> Condition:
    """Equalities combined with a key to exclude, with the document's name for the key: that needs no composite index.

    Django validates unique fields with such a query.
    """
    parts = parts_of(where)
    excluded = next((part for part in parts if isinstance(part, Compare) and part.op is Op.NE), None)
    if excluded is None or excluded.ref != select.key or select.key.kind not in SORTED_KINDS or select.orders:
        return where
    others = [part for part in parts if part is not excluded]
    if not others or any(_is_unequal(part) for part in others):
        return where
    name = document_id_or_none(excluded.value, excluded.ref.kind)
    return all_of(others if name is None else [*others, Compare(DOCUMENT_ID, Op.NE, name)])


def _by_id(select: Select, ids: tuple[str, ...], residue: Condition) -> Answer:
    if not ids:
        return NoRows()
    if residue == TRUE:
        if len(ids) == 1 and not select.offset:
            return Get(select.collection, ids, select.columns)
        if not select.orders and not select.offset and (select.limit is None or select.limit >= len(ids)):
            return Get(select.collection, tuple(sorted(ids)), select.columns)
    compared = (ref for ref in columns_of(residue) if ref not in select.columns)
    columns = (*select.columns, *(order.ref for order in select.orders), *dict.fromkeys(compared))
    width = len(select.columns)
    orders = tuple((width + i, order.descending) for i, order in enumerate(select.orders))
    read = Get(select.collection, tuple(sorted(ids)), columns)
    return SortedGet(read, orders, select.limit, select.offset, width, residue)


# --- queries ---


def _read(select: Select, branches: tuple[Filter | None, ...]) -> Query | Merge:
    if len(branches) == 1:
        orders = _orders(select.orders, branches[0])
        return Query(select.collection, select.columns, branches[0], orders, limit=select.limit, offset=select.offset)
    everything = Or(tuple(branch for branch in branches if branch is not None))
    last = Order(select.key, select.orders[-1].descending if select.orders else False)
    orders = _orders((*select.orders, last), everything)
    queries = tuple(Query(select.collection, select.columns, branch, orders) for branch in branches)
    return Merge(queries, limit=select.limit, offset=select.offset)


def _orders(orders: tuple[Order, ...], where: Filter | None) -> tuple[Order, ...]:
    """The orders in the form that Firestore accepts: each field once, and none after the key.

    The key is replaced by `__name__`, which needs no index of its own, unless it is the first order and descending, or
    precedes the field of an inequality. Firestore supports neither, so the key's own field is used then.
    """
    unequal = {leaf.ref for leaf in _leaves(where) if leaf.op in INEQUALITIES}
    result: list[Order] = []
    seen: set[Ref] = set()
    for order in orders:
        if order.ref in seen:
            continue
        if order.ref.key:
            first = not result and order.descending
            by_id = order.ref.kind in SORTED_KINDS and not first and unequal <= seen
            if order.ref.path == DOCUMENT_ID.path:  # a composite key has no field of its own
                result += [replace(order, ref=ref) for ref in sorted(unequal - seen, key=lambda ref: ref.path)]
                by_id = True
            result.append(replace(order, ref=DOCUMENT_ID) if by_id else order)
            break
        seen.add(order.ref)
        result.append(order)
    return tuple(result)


def _leaves(where: Filter | None) -> Iterator[Compare]:
    match where:
        case None:
            return
        case Compare():
            yield where
        case And(children) | Or(children):
            for child in children:
                yield from _leaves(child)


def _disjunctions(where: Filter) -> int:
    """The number of disjuncts in the disjunctive normal form, which Firestore limits."""
    match where:
        case Compare(_, Op.IN | Op.ARRAY_CONTAINS_ANY, value):
            return len(value)
        case Compare():
            return 1
        case And(children):
            return prod(_disjunctions(child) for child in children)
        case Or(children):
            return sum(_disjunctions(child) for child in children)


def _width(where: Filter) -> int:
    """The maximum number of comparisons in a disjunct of the disjunctive normal form."""
    match where:
        case And(children):
            return sum(_width(child) for child in children)
        case Or(children):
            return max(_width(child) for child in children)
        case _:
            return 1


def _fits(where: Filter | None, orders: int) -> bool:
    """Whether a filter is within the limits of one query."""
    if where is None:
        return True
    leaves = list(_leaves(where))
    disjunctions = _disjunctions(where)
    unequal = [leaf for leaf in leaves if leaf.op in UNEQUAL]
    return (
        disjunctions <= MAX_DISJUNCTIONS
        and disjunctions * _width(where) + orders <= MAX_FILTERS_AND_ORDERS
        and len(unequal) <= 1
        and len({leaf.ref for leaf in leaves if leaf.op in INEQUALITIES}) <= MAX_INEQUALITY_FIELDS
        and all(_not_in_fits(leaf, disjunctions) for leaf in unequal)
        and _arrays(where) <= 1
        and not _drops_rows(where)
    )


def _arrays(where: Filter) -> int:
    """The maximum number of array comparisons in a disjunct of the disjunctive normal form."""
    match where:
        case And(children):
            return sum(_arrays(child) for child in children)
        case Or(children):
            return max(_arrays(child) for child in children)
        case _:
            return int(where.op in ARRAYS)


def _not_in_fits(leaf: Compare, disjunctions: int) -> bool:
    return leaf.op is not Op.NOT_IN or (disjunctions == 1 and len(leaf.value) <= MAX_NOT_IN_VALUES)


def _drops_rows(where: Filter) -> bool:
    """Whether a disjunction contains an inequality on a path that documents may lack.

    Firestore then excludes documents without that path from all branches. All documents have all columns, but not all
    map keys.
    """
    match where:
        case Or():
            inner = list(_leaves(where))
            paths = {leaf.ref for leaf in inner if leaf.op in INEQUALITIES and len(leaf.ref.path) > 1}
            return bool(paths) and len({leaf.ref for leaf in inner}) > 1
        case And(children):
            return any(_drops_rows(child) for child in children)
        case _:
            return False


def _split(where: Filter | None, orders: int) -> tuple[Filter | None, ...] | None:
    """Filters that are within the limits of one query and together match the rows of `where`; None if too many."""
    done: list[Filter | None] = []
    todo: list[Filter | None] = [where]
    while todo:
        part = todo.pop()
        if _fits(part, orders):
            done.append(part)
        elif part is not None and (pieces := _pieces(part, orders)):
            todo.extend(reversed(pieces))
        else:
            return None
        if len(done) + len(todo) > max(MAX_BRANCHES, _widest_in(where) // MAX_IN_VALUES + 1):
            return None
    return tuple(done)


def _widest_in(where: Filter | None) -> int:
    return max((len(leaf.value) for leaf in _leaves(where) if leaf.op in ONE_OF), default=0)


def _pieces(where: Filter, orders: int) -> list[Filter] | None:
    """`where` as several smaller filters: first without a second `!=`, then split at the widest disjunction."""
    parts = list(conjuncts(where))
    if (position := _one_unequal(parts, _leaves(where))) is not None:
        return _replaced(parts, position, _ranges(parts[position]))
    wide = max(range(len(parts)), key=lambda i: _disjunctions(parts[i]))
    match parts[wide]:
        case Or(children):
            return _replaced(parts, wide, [[child] for child in children])
        case Compare(ref, Op.IN | Op.ARRAY_CONTAINS_ANY as op, values):
            others = prod(_disjunctions(part) for i, part in enumerate(parts) if i != wide)
            room = max(1, (MAX_FILTERS_AND_ORDERS - orders) // _width(where))
            size = max(1, min(MAX_IN_VALUES, MAX_DISJUNCTIONS, room) // max(1, min(others, MAX_DISJUNCTIONS)))
            if size >= len(values):
                size = max(1, len(values) // 2)
            return _replaced(
                parts, wide, [[_any_of(ref, op, values[i : i + size])] for i in range(0, len(values), size)]
            )
        case _:
            return None


def _any_of(ref: Ref, op: Op, values: tuple[Any, ...]) -> Compare:
    return Compare(ref, ONE_OF[op], values[0]) if len(values) == 1 else Compare(ref, op, values)


def _replaced(parts: list[Filter], position: int, alternatives: Sequence[Sequence[Filter]]) -> list[Filter]:
    rest = [*parts[:position], *parts[position + 1 :]]
    return [_and([*rest, *alternative]) for alternative in alternatives]


def _and(parts: Sequence[Filter]) -> Filter:
    flat: list[Filter] = []
    for part in parts:
        flat.extend(part.children if isinstance(part, And) else [part])
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def _one_unequal(parts: Sequence[Filter], leaves: Iterable[Compare]) -> int | None:
    """The position of a `!=` or `not-in` to rewrite as ranges, because of another one or because of its size."""
    unequal = [leaf for leaf in leaves if leaf.op in UNEQUAL]
    candidates = [
        i for i, part in enumerate(parts) if isinstance(part, Compare) and part.op in UNEQUAL and _has_ranges(part)
    ]
    if not candidates:
        return None
    wide = any(leaf.op is Op.NOT_IN for leaf in unequal)
    return candidates[0] if len(unequal) > 1 or wide else None


def _has_ranges(part: Compare) -> bool:
    if len(part.ref.path) > 1 or part.ref.kind in UNSORTABLE:
        return False
    return part.op is not Op.IS_NOT_NULL or part.ref.kind in LEAST


def _ranges(part: Filter) -> list[list[Filter]]:
    """`!=` and `not-in` as the ranges between the excluded values."""
    if not isinstance(part, Compare):
        raise TypeError(f"{part!r} is not a comparison")
    if part.op is Op.IS_NOT_NULL:
        return [[Compare(part.ref, Op.GE, LEAST[part.ref.kind])]]
    values = sorted(part.value) if part.op is Op.NOT_IN else [part.value]
    gaps: list[list[Filter]] = [[Compare(part.ref, Op.LT, values[0])]]
    for low, high in pairwise(values):
        gaps.append([Compare(part.ref, Op.GT, low), Compare(part.ref, Op.LT, high)])
    gaps.append([Compare(part.ref, Op.GT, values[-1])])
    return gaps


def _narrow(parts: Iterable[Condition]) -> Iterator[Condition]:
    """The conjuncts that one query supports together: no wide ones, and at most one array comparison."""
    has_array = False
    for part in parts:
        is_array = isinstance(part, Compare) and part.op in ARRAYS
        if not _wide(part) and _too_long(part) is None and not (is_array and has_array):
            has_array |= is_array
            yield part


def _wide(condition: Condition) -> bool:
    """Whether a conjunct may make a filter too wide for one query."""
    return not isinstance(condition, Compare) or condition.op in (Op.NOT_IN, Op.NE)
