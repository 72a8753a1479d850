"""Normalizes conditions with SQL's three-valued logic to filters that Firestore supports.

Negations are pushed to the leaves. There, Firestore's null semantics agree with SQL's: `!=`, `not-in` and ranges
exclude null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from ..values.types import Kind
from .ast import FALSE, TRUE, AllOf, AnyOf, Condition, Constant, Local, Not, Opaque, RowTest, all_of, any_of
from .plan import MAX_FILTER_BYTES, TEXT_END, And, Compare, Filter, Op, Or

NEGATED: Final = {
    Op.EQ: Op.NE,
    Op.NE: Op.EQ,
    Op.LT: Op.GE,
    Op.GE: Op.LT,
    Op.GT: Op.LE,
    Op.LE: Op.GT,
    Op.IN: Op.NOT_IN,
    Op.NOT_IN: Op.IN,
    Op.IS_NULL: Op.IS_NOT_NULL,
    Op.IS_NOT_NULL: Op.IS_NULL,
    Op.ABSENT: Op.PRESENT,
    Op.PRESENT: Op.ABSENT,
}


def negation_normal_form(condition: Condition, negated: bool = False) -> Condition:
    """The condition in negation normal form: all negations at the leaves, and constants folded.

    A negated leaf is still unknown for null, as in SQL: `NOT (x < 1)` becomes `x >= 1`, which does not match null on
    Firestore either.
    """
    match condition:
        case Not(child):
            return negation_normal_form(child, not negated)
        case AllOf(children):
            parts = [negation_normal_form(child, negated) for child in children]
            return any_of(parts) if negated else _concise(all_of(parts))
        case AnyOf(children):
            parts = [negation_normal_form(child, negated) for child in children]
            return _concise(all_of(parts)) if negated else any_of(parts)
        case Constant(value):
            return Constant(value is not negated)
        case Compare():
            return _leaf(negate(condition) if negated else condition)
        case Opaque():
            return condition
        case RowTest(wanted=wanted):
            return replace(condition, wanted=wanted is not negated)
        case Local(child):
            known = negation_normal_form(child, negated)
            return known if isinstance(known, Constant) else Local(known)


def negate(leaf: Compare) -> Compare | Opaque:
    """The comparison that is true if `leaf` is false, and unknown if `leaf` is unknown."""
    null = leaf.op in (Op.IS_NULL, Op.IS_NOT_NULL)
    if len(leaf.ref.path) > 1 or (leaf.ref.kind is Kind.JSON and not null):
        return Opaque(f"exclude({leaf.ref.name})")  # a missing key is null in SQL, but is not indexed by Firestore
    if leaf.op not in NEGATED:
        return Opaque(f"exclude({leaf.ref.name})")
    return replace(leaf, op=NEGATED[leaf.op])


def superset_condition(condition: Condition) -> Condition:
    """A condition without opaque parts, in negation normal form, that matches all rows that `condition` matches."""
    match condition:
        case Opaque() | Local() | RowTest():
            return TRUE
        case AllOf(children):
            return all_of(superset_condition(child) for child in children)
        case AnyOf(children):
            return any_of(superset_condition(child) for child in children)
        case Compare(op=Op.ABSENT):
            return TRUE
        case _:
            return condition


def may_be_absent(condition: Condition) -> bool:
    """Whether a condition matches rows that lack a column, which no filter finds, or is to be evaluated on rows."""
    match condition:
        case Compare(op=Op.ABSENT) | Local() | RowTest():
            return True
        case AllOf(children) | AnyOf(children):
            return any(map(may_be_absent, children))
        case _:
            return False


def _concise(condition: Condition) -> Condition:
    """The conjunction without `is not null` conditions that another comparison of the same field implies."""
    if not isinstance(condition, AllOf):
        return condition
    known = {
        part.ref
        for part in condition.children
        if isinstance(part, Compare) and part.op not in (Op.IS_NULL, Op.IS_NOT_NULL)
    }
    return all_of(
        part
        for part in dict.fromkeys(condition.children)
        if not (isinstance(part, Compare) and part.op is Op.IS_NOT_NULL and part.ref in known)
    )


def _leaf(leaf: Compare | Opaque) -> Condition:
    """One comparison in a form that Firestore accepts."""
    if isinstance(leaf, Opaque):
        return leaf
    match leaf.op:
        case Op.IN | Op.NOT_IN:
            values = _distinct(leaf.value)
            if not values:
                return FALSE if leaf.op is Op.IN else Compare(leaf.ref, Op.IS_NOT_NULL)
            if len(values) == 1:
                return _leaf(Compare(leaf.ref, Op.EQ if leaf.op is Op.IN else Op.NE, values[0]))
            leaf = replace(leaf, value=values)
            sizes: Iterable[Any] = values
        case Op.NE if leaf.ref.kind is Kind.BOOLEAN:
            return Compare(leaf.ref, Op.EQ, not leaf.value)
        case Op.PRESENT:
            return Compare(leaf.ref, Op.IS_NOT_NULL)
        case _:
            sizes = (leaf.value,)
    if max(map(value_bytes, sizes), default=0) > MAX_FILTER_BYTES and not (leaf.ref.key and leaf.op in BY_ID):
        return Opaque(f"{leaf.ref.name} (a value of more than {MAX_FILTER_BYTES} bytes)")
    return leaf


BY_ID: Final = frozenset({Op.EQ, Op.IN})
"""Comparisons of a key that a read by id can answer, whatever the length of the values."""


def is_too_long(leaf: Compare) -> bool:
    """Whether a comparison is one of a key with values that are too long for a filter."""
    if not leaf.ref.key or leaf.op not in BY_ID:
        return False
    values = leaf.value if leaf.op is Op.IN else (leaf.value,)
    return max(map(value_bytes, values), default=0) > MAX_FILTER_BYTES


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """The values without duplicates. 1 and True are different values."""
    return tuple({(type(value), value): value for value in values}.values())


def value_bytes(value: Any) -> int:
    """The size of a value in a filter; 0 for those that are never too long."""
    if isinstance(value, str):
        return TEXT_END + (len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, tuple):
        return sum(map(value_bytes, value))
    return len(value) if isinstance(value, bytes) else 0


def unsupported_parts(condition: Condition) -> Iterator[str]:
    """The lookups in a condition that Firestore cannot evaluate."""
    match condition:
        case Opaque(unsupported):
            yield unsupported
        case AllOf(children) | AnyOf(children):
            for child in children:
                yield from unsupported_parts(child)
        case Local(child):
            yield from unsupported_parts(child)
        case _:
            return


def parts_of(condition: Condition) -> Sequence[Condition]:
    """The conjuncts of a condition."""
    return condition.children if isinstance(condition, AllOf) else (condition,)


def filter_of(condition: Condition) -> Filter:
    """The Firestore filter for a condition in negation normal form without opaque parts and constants."""
    match condition:
        case AllOf(children):
            return And(tuple(filter_of(child) for child in children))
        case AnyOf(children):
            return Or(tuple(filter_of(child) for child in children))
        case Compare():
            return condition
        case _:
            raise TypeError(
                f"{condition!r} is not a filter: only conditions in negation normal form, without constants, are."
            )
