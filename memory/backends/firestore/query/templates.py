"""Plans without values, which are kept by the shape of a query: a query that is run again with others is not planned.

The values of a condition become slots, numbered by first occurrence, so that equal values have the same slot. The
planner handles slots as it handles values, which it only copies, except those that decide on the plan. These are part
of the outline (booleans, nulls, how many values an `in` has), or the condition has no outline and is planned each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from ..values.types import JSON_NULL, Kind
from .ast import AllOf, AnyOf, Condition, Constant, Not, Select
from .normalize import value_bytes
from .plan import MAX_FILTER_BYTES, MAX_IN_VALUES, And, Compare, Filter, Merge, Op, Or, Query
from .planner import Answer, NotNative, plan

SLOT_TYPES: Final = frozenset({str, int, float, datetime, date, time, timedelta, UUID})
"""Types of values that are not part of an outline."""

IDENTICAL: Final = frozenset({str, int, UUID})
"""Types of which equal values are the same to Firestore. Others may differ, as 0.0 and -0.0."""

NULL_OPS: Final = frozenset({Op.IS_NULL, Op.IS_NOT_NULL})
BY_KEY: Final = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN})
"""Comparisons of a key that decide on the plan: documents are read by id."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The place of a value."""

    number: int


SLOTS: Final = tuple(Slot(number) for number in range(2 * MAX_IN_VALUES))


class NoOutlineError(Exception):
    """The plan depends on the values of the condition."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The structure of a condition, and its values by slot."""

    structure: Hashable
    values: Sequence[Any]


Planned: TypeAlias = Answer | NotNative
Template: TypeAlias = Query | Merge | NotNative
"""A plan with slots, or that the query is not native."""


def outline(condition: Condition, keys: frozenset[Any]) -> Outline | None:
    """The outline of a condition; None if its plan depends on the values. `keys` are the columns of the primary key."""
    walk = _Walk(keys)
    try:
        walk.visit(condition, negated=False)
    except NoOutlineError:
        return None
    return Outline(tuple(walk.structure), walk.values)


def template(select: Select, planned: Planned, found: Outline) -> Template | None:
    """The plan of a select with slots for the values; None if with its values it is not the plan that was made."""
    if isinstance(planned, NotNative):
        return planned
    if not isinstance(planned, Query | Merge):
        return None
    made = plan(replace(select, where=_with_slots(select.where, found.values)))
    if not isinstance(made, Query | Merge) or bind(made, found.values, select.limit, select.offset) != planned:
        return None
    return made


def bind(made: Query | Merge, values: Sequence[Any], limit: int | None, offset: int) -> Query | Merge:
    """The plan with values, a limit and an offset."""
    if isinstance(made, Query):
        return Query(made.collection, made.columns, _bound(made.where, values), made.orders, limit, offset)
    branches = tuple(Query(one.collection, one.columns, _bound(one.where, values), one.orders) for one in made.branches)
    return Merge(branches, made.overlapping, limit, offset)


class _Walk:
    """Collects the structure and the values of a condition."""

    def __init__(self, keys: frozenset[Any]) -> None:
        self.keys = keys
        self.structure: list[Hashable] = []
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def visit(self, condition: Condition, negated: bool) -> None:
        """Add a condition. Raises NoOutlineError."""
        found = type(condition)
        if found is Compare:
            self._compare(condition, negated)  # type: ignore[arg-type]
        elif found is AllOf or found is AnyOf:
            children = condition.children  # type: ignore[union-attr]
            self.structure.extend(("all" if found is AllOf else "any", len(children)))
            for child in children:
                self.visit(child, negated)
        elif found is Not:
            self.structure.append(Not)
            self.visit(condition.child, not negated)  # type: ignore[union-attr]
        elif found is Constant:
            self.structure.extend((Constant, condition.value))  # type: ignore[union-attr]
        else:
            raise NoOutlineError

    def _compare(self, leaf: Compare, negated: bool) -> None:
        op, ref = leaf.op, leaf.ref
        self.structure.extend((ref, op))
        if op in NULL_OPS:
            return
        if op in BY_KEY and ref in self.keys:
            raise NoOutlineError
        if op is Op.IN or op is Op.NOT_IN:
            # The planner sorts excluded values, and divides many.
            if negated or op is Op.NOT_IN or len(leaf.value) > MAX_IN_VALUES:
                raise NoOutlineError
            self.structure.append(len(leaf.value))
            for value in leaf.value:
                self._value(value, ref.kind)
        else:
            self._value(leaf.value, ref.kind)

    def _value(self, value: Any, kind: Kind) -> None:
        found = type(value)
        if found is bool or value is None or value is JSON_NULL:
            self.structure.append(str(value))  # as a text, since True equals slot 1
            return
        if found not in SLOT_TYPES or kind is Kind.BOOLEAN or value != value:  # NaN
            raise NoOutlineError
        if found is str and len(value) > MAX_FILTER_BYTES // 4 and value_bytes(value) > MAX_FILTER_BYTES:
            raise NoOutlineError
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        elif found not in IDENTICAL or type(self.values[number]) is not found:
            raise NoOutlineError
        if number >= len(SLOTS):
            raise NoOutlineError
        self.structure.append(number)


def _with_slots(condition: Condition, values: Sequence[Any]) -> Condition:
    """The condition of an outline, with the slots of its values."""
    slots = {(type(value), value): SLOTS[number] for number, value in enumerate(values)}

    def slot(value: Any) -> Any:
        return slots[type(value), value] if type(value) in SLOT_TYPES else value

    return _replaced(condition, slot)


def _replaced(condition: Condition, change: Callable[[Any], Any]) -> Condition:
    match condition:
        case Compare(ref, op, tuple() as values):
            return Compare(ref, op, tuple(map(change, values)))
        case Compare(ref, op, value):
            return condition if op in NULL_OPS else Compare(ref, op, change(value))
        case Not(child):
            return Not(_replaced(child, change))
        case AllOf(children) | AnyOf(children):
            return type(condition)(tuple(_replaced(child, change) for child in children))
        case _:
            return condition


def _bound(where: Filter | None, values: Sequence[Any]) -> Filter | None:
    return None if where is None else _bound_filter(where, values)


def _bound_filter(where: Filter, values: Sequence[Any]) -> Filter:
    if isinstance(where, Compare):
        value = where.value
        if isinstance(value, Slot):
            return Compare(where.ref, where.op, values[value.number])
        if isinstance(value, tuple):
            members = tuple(values[one.number] if isinstance(one, Slot) else one for one in value)
            return Compare(where.ref, where.op, members)
        return where
    children = tuple([_bound_filter(child, values) for child in where.children])
    return And(children) if isinstance(where, And) else Or(children)
