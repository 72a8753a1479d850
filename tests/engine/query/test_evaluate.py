"""Conditions on rows that were read by key."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from memory.backends.firestore.query.ast import FALSE, TRUE, Condition, Not, Opaque, all_of, any_of
from memory.backends.firestore.query.evaluate import columns_of, holds, is_evaluable
from memory.backends.firestore.query.plan import Compare, Op
from memory.backends.firestore.rpc.codec import as_read
from memory.backends.firestore.values.types import JSON_NULL, Kind, Ref

N = Ref(("n",), Kind.INTEGER)
REAL = Ref(("real",), Kind.FLOAT)
TEXT = Ref(("text",), Kind.TEXT)
DATA = Ref(("data",), Kind.JSON)
PATH = Ref(("data", "a", "b"), Kind.JSON)
VECTOR = Ref(("vector",), Kind.VECTOR)
NAN = float("nan")


def held(leaf: Compare, value: Any) -> bool:
    column = Ref(leaf.ref.path[:1], leaf.ref.kind)
    return holds(leaf, [Ref(("other",), Kind.TEXT), column], as_read)(("", value))


@pytest.mark.parametrize(
    ("leaf", "matching", "others"),
    [
        (Compare(N, Op.EQ, 1), [1], [0, None]),
        (Compare(N, Op.NE, 1), [0], [1, None]),
        (Compare(N, Op.IN, (1, 2)), [1, 2], [0, None]),
        (Compare(N, Op.NOT_IN, (1, 2)), [0], [1, None]),
        (Compare(N, Op.LT, 1), [0], [1, None]),
        (Compare(N, Op.GE, 1), [1, 2], [0, None]),
        (Compare(N, Op.IS_NULL), [None], [0]),
        (Compare(N, Op.IS_NOT_NULL), [0], [None]),
        (Compare(REAL, Op.IS_NULL), [NAN, None], [0.0]),
        (Compare(REAL, Op.NE, 1.0), [0.5], [NAN, 1.0]),
        (Compare(DATA, Op.EQ, JSON_NULL), [JSON_NULL], [None, 0, {}]),
        (Compare(DATA, Op.IS_NULL), [None], [JSON_NULL, {}]),
        (Compare(PATH, Op.EQ, 1), [{"a": {"b": 1}}, {"a": {"b": 1.0}}], [{"a": {"b": True}}, {"a": 1}, {}, None, []]),
        (Compare(PATH, Op.EQ, True), [{"a": {"b": True}}], [{"a": {"b": 1}}]),
        (Compare(PATH, Op.EQ, ("x", None)), [{"a": {"b": ["x", None]}}], [{"a": {"b": ["x"]}}, {"a": {"b": "x"}}]),
        (Compare(PATH, Op.IS_NULL), [{"a": {"b": None}}], [{"a": {}}, None, {"a": {"b": 0}}]),
        (Compare(PATH, Op.IS_NOT_NULL), [{"a": {"b": 0}}], [{"a": {}}, {"a": {"b": None}}]),
        (Compare(PATH, Op.GT, 1), [{"a": {"b": 2}}], [{"a": {"b": "x"}}, {"a": {"b": 2**63}}, {"a": {"b": True}}]),
        (Compare(VECTOR, Op.IS_NULL), [None], [[1.0]]),
    ],
)
def test_a_comparison(leaf: Compare, matching: list[Any], others: list[Any]) -> None:
    """Null matches nothing but `is null`; JSON values match values of their own type."""
    assert [value for value in [*matching, *others] if held(leaf, value)] == matching


@pytest.mark.parametrize(
    ("kind", "constant", "stored"),
    [
        (Kind.TEXT, "é", "é"),
        (Kind.BINARY, memoryview(b"\0"), b"\0"),
        (Kind.DATETIME, dt.datetime(2025, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
         dt.datetime(2025, 1, 1, tzinfo=dt.UTC)),
        (Kind.DATE, dt.datetime(2025, 1, 1, 5), dt.date(2025, 1, 1)),  # noqa: DTZ001
        (Kind.TIME, dt.time(1), dt.time(1)),
        (Kind.DURATION, dt.timedelta(1), dt.timedelta(1)),
        (Kind.DECIMAL, "1.50", Decimal("1.5")),
        (Kind.UUID, "0" * 32, uuid.UUID(int=0)),
        (Kind.BOOLEAN, 1, True),
    ],
)  # fmt: skip
def test_constants_are_compared_as_they_would_be_read(kind: Kind, constant: Any, stored: Any) -> None:
    """A lookup's value may have another Python type than the column's values."""
    ref = Ref(("column",), kind)
    assert holds(Compare(ref, Op.EQ, constant), [ref], as_read)([stored])
    assert holds(Compare(ref, Op.IN, (constant,)), [ref], as_read)([stored])
    assert holds(Compare(ref, Op.LE, constant), [ref], as_read)([stored])


def test_conditions_are_combined() -> None:
    """By the connectors of the tree."""
    condition = all_of([Compare(N, Op.GT, 1), any_of([Compare(TEXT, Op.EQ, "a"), Compare(TEXT, Op.IS_NULL)])])
    match = holds(condition, [N, TEXT], as_read)
    assert [row for row in [(2, "a"), (2, None), (2, "b"), (1, "a")] if match(row)] == [(2, "a"), (2, None)]
    assert set(columns_of(condition)) == {N, TEXT}
    assert holds(TRUE, [], as_read)(())
    assert not holds(FALSE, [], as_read)(())


@pytest.mark.parametrize(
    "condition",
    [
        Opaque("text__icontains"),
        all_of([Compare(N, Op.EQ, 1), Opaque("x")]),
        Compare(DATA, Op.ARRAY_CONTAINS, 1),
        Compare(VECTOR, Op.EQ, (1.0,)),
        Compare(Ref(("id",), Kind.ANY, key=True), Op.EQ, 1),
        Not(Compare(N, Op.EQ, 1)),
    ],
)
def test_other_conditions_are_left_to_the_mirror(condition: Condition) -> None:
    """Those that are not evaluated, and those that are not in normal form."""
    assert not is_evaluable(condition)
    with pytest.raises((TypeError, KeyError, ValueError)):
        holds(condition, [], as_read)
