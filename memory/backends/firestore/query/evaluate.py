"""Evaluates conditions on rows that were read by key.

A condition in negation normal form (`normalize.py`) becomes a function of a row. The result is that of SQL: a
comparison with null, or with a JSON key that is missing, does not hold. Conditions that the engine cannot evaluate are
left to the mirror (`is_evaluable`).

JSON values are compared by type, as Firestore and SQL compare them: numbers with numbers, texts with texts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..values.sortable_text import INT64
from ..values.types import Kind, Ref
from .ast import AllOf, AnyOf, Condition, Constant, Local, RowTest
from .plan import Compare, Op

Row: TypeAlias = Sequence[Any]
Holds: TypeAlias = Callable[[Row], bool]
Value: TypeAlias = Callable[[Row], Any]
AsRead: TypeAlias = Callable[[Any, Kind], Any]
"""A constant as a row would hold it after it was stored and read."""

MISSING: Final = object()
"""The value of a JSON key that the row's map does not have."""

NULL_OPS: Final = frozenset({Op.IS_NULL, Op.ABSENT, Op.IS_NOT_NULL})
ORDERED: Final[Mapping[Op, Callable[[Any, Any], bool]]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}
COLUMN_OPS: Final = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, *ORDERED, *NULL_OPS})
JSON_OPS: Final = frozenset({Op.EQ, Op.IN, *ORDERED, *NULL_OPS})
NOT_COMPARED: Final = frozenset({Kind.VECTOR, Kind.ANY, Kind.WIRE})
"""Kinds of which only nulls are evaluated."""

BEYOND, NUMBERS, TEXTS, LISTS, TRUTHS = range(5)
"""Types of JSON values that are compared with each other. BEYOND: maps, and integers beyond 64 bits."""


def sort_key(value: Any) -> tuple[int, Any]:
    """A sort key of a column's value in Firestore's order: null, NaN, then the others."""
    if value is None:
        return 0, 0
    return (2, value) if value == value else (1, 0)


def is_evaluable(condition: Condition) -> bool:
    """Whether `holds` can evaluate a condition in negation normal form."""
    match condition:
        case AllOf(children) | AnyOf(children):
            return all(map(is_evaluable, children))
        case Compare(ref, op):
            if op in NULL_OPS:
                return True
            return op in JSON_OPS if ref.kind is Kind.JSON else op in COLUMN_OPS and ref.kind not in NOT_COMPARED
        case Constant() | RowTest():
            return True
        case Local(child):
            return is_evaluable(child)
        case _:
            return False


def columns_of(condition: Condition) -> Iterator[Ref]:
    """The columns that a condition refers to; of a JSON key, its column."""
    match condition:
        case AllOf(children) | AnyOf(children):
            for child in children:
                yield from columns_of(child)
        case Compare(ref):
            yield column_of(ref)
        case Local(child):
            yield from columns_of(child)
        case RowTest(columns):
            yield from columns


def column_of(ref: Ref) -> Ref:
    """The column of a path."""
    return ref if len(ref.path) == 1 else Ref(ref.path[:1], ref.kind)


def holds(condition: Condition, columns: Sequence[Ref], as_read: AsRead) -> Holds:
    """Whether rows of these columns match an evaluable condition."""
    match condition:
        case Constant(value):
            return lambda row: value
        case AllOf(children):
            return _all([holds(child, columns, as_read) for child in children])
        case AnyOf(children):
            return _any([holds(child, columns, as_read) for child in children])
        case Compare():
            return _comparison(condition, columns, as_read)
        case Local(child):
            return holds(child, columns, as_read)
        case RowTest(tested, test, wanted):
            places = [columns.index(ref) for ref in tested]
            return lambda row: test(tuple(row[place] for place in places)) is wanted
        case _:
            raise TypeError(f"{condition!r} cannot be evaluated")


def _all(parts: Sequence[Holds]) -> Holds:
    return lambda row: all(part(row) for part in parts)


def _any(parts: Sequence[Holds]) -> Holds:
    return lambda row: any(part(row) for part in parts)


def _comparison(leaf: Compare, columns: Sequence[Ref], as_read: AsRead) -> Holds:
    ref, op = leaf.ref, leaf.op
    value = _path(ref, columns) if len(ref.path) > 1 else _column(columns.index(ref), ref.kind)
    if op in (Op.IS_NULL, Op.ABSENT):
        return lambda row: value(row) is None
    if op is Op.IS_NOT_NULL:
        return lambda row: value(row) is not None and value(row) is not MISSING
    if ref.kind is Kind.JSON:
        return _json_comparison(leaf, value)
    if op in (Op.IN, Op.NOT_IN):
        known = {as_read(one, ref.kind) for one in leaf.value}
        wanted = op is Op.IN
        return lambda row: (found := value(row)) is not None and (found in known) is wanted
    constant = as_read(leaf.value, ref.kind)
    if op in (Op.EQ, Op.NE):
        equal = op is Op.EQ
        return lambda row: (found := value(row)) is not None and (found == constant) is equal
    return _ordered(value, ORDERED[op], constant)


def _ordered(value: Value, compare: Callable[[Any, Any], bool], constant: Any) -> Holds:
    def comparison(row: Row) -> bool:
        found = value(row)
        return found is not None and compare(found, constant)

    return comparison


def _column(position: int, kind: Kind) -> Value:
    """A column's value. SQL has no NaN: it is null."""
    if kind is not Kind.FLOAT:
        return operator.itemgetter(position)

    def number(row: Row) -> Any:
        value = row[position]
        return None if value != value else value

    return number


def _path(ref: Ref, columns: Sequence[Ref]) -> Value:
    """A value inside a JSON column: None for a null, `MISSING` where the maps lack a key."""
    position, keys = columns.index(column_of(ref)), ref.path[1:]

    def member(row: Row) -> Any:
        value = row[position]
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return MISSING
            value = value[key]
        return value

    return member


# --- JSON


def _json_comparison(leaf: Compare, value: Value) -> Holds:
    if leaf.op is Op.EQ:
        return lambda row: (found := value(row)) is not None and _json_equal(found, leaf.value)
    if leaf.op is Op.IN:
        return lambda row: (found := value(row)) is not None and any(_json_equal(found, one) for one in leaf.value)
    compare, (kind, constant) = ORDERED[leaf.op], _sortable(leaf.value)

    def comparison(row: Row) -> bool:
        found = _sortable(value(row))
        return found[0] == kind and compare(found[1], constant)

    return comparison


def _json_equal(found: Any, constant: Any) -> bool:
    if isinstance(constant, tuple | list):
        same_length = isinstance(found, list) and len(found) == len(constant)
        return same_length and all(map(_json_equal, found, constant))
    return isinstance(found, bool) is isinstance(constant, bool) and found == constant


def _sortable(value: Any) -> tuple[int, Any]:
    """The type of a JSON value, and what sorts it among values of that type.

    An integer beyond 64 bits is stored as a map; the negative ones sort first. Other maps are greater than both.
    """
    match value:
        case bool():
            return TRUTHS, value
        case int() if value not in INT64:
            return BEYOND, value > 0
        case int() | float():
            return NUMBERS, value
        case str():
            return TEXTS, value
        case list() | tuple():
            return LISTS, list(value)
        case dict():
            return BEYOND, 2
        case _:
            return -1, None
