"""Plans without values: the same plan for other values of the same structure, or no plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.backends.firestore.query.ast import AllOf, AnyOf, Condition, Constant, Not, Opaque, Select
from memory.backends.firestore.query.plan import MAX_FILTER_BYTES, Compare, Merge, Op, Order, Query
from memory.backends.firestore.query.planner import NotNative, plan
from memory.backends.firestore.query.templates import bind, outline, template
from memory.backends.firestore.values.types import JSON_NULL, Kind, Ref

KEY: Final = Ref(("id",), Kind.TEXT, key=True)
KEYS: Final = frozenset({KEY})
N: Final = Ref(("n",), Kind.INTEGER)
REAL: Final = Ref(("real",), Kind.FLOAT)
TEXT: Final = Ref(("text",), Kind.TEXT)
FLAG: Final = Ref(("flag",), Kind.BOOLEAN)
AT: Final = Ref(("at",), Kind.DATETIME)
UID: Final = Ref(("uid",), Kind.UUID)
PATH: Final = Ref(("data", "a"), Kind.JSON)

VALUES: Final[dict[Ref, st.SearchStrategy[Any]]] = {
    KEY: st.sampled_from(["a", "b", "é"]),
    N: st.integers(-2, 2),
    REAL: st.sampled_from([0.0, -0.0, 1.0, float("nan")]),
    TEXT: st.sampled_from(["", "a", "b", "x" * (MAX_FILTER_BYTES + 1), "é" * (MAX_FILTER_BYTES // 2 + 1)]),
    FLAG: st.booleans(),
    AT: st.sampled_from([datetime(2025, 1, day, tzinfo=UTC) for day in (1, 2)]),
    UID: st.sampled_from([UUID(int=0), UUID(int=1)]),
    PATH: st.sampled_from([1, 1.0, True, "1", JSON_NULL]),
}
UNARY: Final = (Op.IS_NULL, Op.IS_NOT_NULL)
BINARY: Final = (Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE)


def leaves(ref: Ref) -> st.SearchStrategy[Condition]:
    """A comparison of a column."""
    several = st.lists(VALUES[ref], max_size=4).map(tuple)
    return st.one_of(
        st.sampled_from(UNARY).map(lambda op: Compare(ref, op)),
        st.builds(lambda op, value: Compare(ref, op, value), st.sampled_from(BINARY), VALUES[ref]),
        st.builds(lambda op, values: Compare(ref, op, values), st.sampled_from((Op.IN, Op.NOT_IN)), several),
    )


CONDITIONS: Final = st.recursive(
    st.sampled_from(sorted(VALUES)).flatmap(leaves) | st.booleans().map(Constant),
    lambda inside: st.one_of(
        st.lists(inside, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inside, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        inside.map(Not),
    ),
    max_leaves=5,
)


def select(where: Condition, **more: Any) -> Select:
    return Select("things", KEY, (KEY, N), where, (Order(N),), **more)


@st.composite
def with_other_values(draw: st.DrawFn, condition: Condition) -> Condition:
    """The condition, with other values for its columns."""
    match condition:
        case Compare(ref, op, tuple() as values):
            return Compare(ref, op, tuple(draw(VALUES[ref]) for _ in values))
        case Compare(ref, op, value):
            return condition if op in UNARY else Compare(ref, op, draw(VALUES[ref]) if value is not None else None)
        case Not(child):
            return Not(draw(with_other_values(child)))
        case AllOf(children) | AnyOf(children):
            return type(condition)(tuple(draw(with_other_values(child)) for child in children))
        case _:
            return condition


@settings(max_examples=300)
@given(st.data())
def test_a_bound_template_is_the_plan_of_its_values(data: st.DataObject) -> None:
    """Of the condition for which it was made, and of others with the same outline."""
    conditions = [data.draw(CONDITIONS)]
    conditions += [data.draw(with_other_values(conditions[0])) for _ in range(3)]
    templates: dict[Any, Any] = {}
    for position, condition in enumerate(conditions):
        wanted = select(condition, limit=position or None, offset=position)
        found = outline(condition, KEYS)
        if found is None:
            continue
        planned = plan(wanted)
        known = templates.setdefault(found.structure, template(wanted, planned, found))
        if isinstance(known, Query | Merge):
            assert repr(bind(known, found.values, wanted.limit, wanted.offset)) == repr(planned)
        elif known is not None:
            assert known == planned
        else:
            assert not isinstance(planned, NotNative)


def test_values_of_a_template_are_not_kept() -> None:
    """Neither the structure nor the template contains a value of the condition."""
    condition = AllOf((Compare(TEXT, Op.EQ, "private"), Compare(N, Op.IN, (7, 8))))
    found = outline(condition, KEYS)
    assert found is not None
    made = template(select(condition), plan(select(condition)), found)
    assert "private" not in repr((found.structure, made))
    assert "7" not in repr((found.structure, made))


@pytest.mark.parametrize(
    "condition",
    [
        Compare(KEY, Op.EQ, "a"),
        Compare(KEY, Op.IN, ("a", "b")),
        Not(Compare(KEY, Op.EQ, "a")),
        Not(Compare(N, Op.IN, (1, 2))),
        Compare(N, Op.NOT_IN, (1, 2)),
        Compare(N, Op.IN, tuple(range(31))),
        Compare(TEXT, Op.EQ, "é" * 750),
        Compare(REAL, Op.EQ, float("nan")),
        AllOf((Compare(REAL, Op.GE, 0.0), Compare(REAL, Op.LE, -0.0))),
        AllOf((Compare(PATH, Op.EQ, 1), Compare(N, Op.EQ, 1.0))),
        Opaque("text__icontains"),
    ],
    ids=str,
)
def test_conditions_whose_plan_depends_on_their_values(condition: Condition) -> None:
    """They are planned each time: documents by id, sorted or divided values, equal values that are not the same."""
    assert outline(condition, KEYS) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Compare(N, Op.EQ, 1), Compare(N, Op.EQ, 2), True),
        (Compare(KEY, Op.LT, "a"), Compare(KEY, Op.LT, "b"), True),
        (Compare(N, Op.IN, (1, 2)), Compare(N, Op.IN, (4, 3)), True),
        (Compare(N, Op.IN, (1, 2)), Compare(N, Op.IN, (1, 2, 3)), False),
        (Compare(N, Op.IN, (1, 2)), Compare(N, Op.IN, (1, 1)), False),
        (Compare(FLAG, Op.NE, True), Compare(FLAG, Op.NE, False), False),
        (Compare(PATH, Op.EQ, True), Compare(PATH, Op.EQ, 1), False),
        (Compare(PATH, Op.EQ, JSON_NULL), Compare(PATH, Op.EQ, "JSON_NULL"), False),
        (Compare(N, Op.EQ, 1), Compare(N, Op.LT, 1), False),
        (Compare(N, Op.EQ, 1), Compare(REAL, Op.EQ, 1.0), False),
        (AllOf((Compare(N, Op.GE, 1),)), AnyOf((Compare(N, Op.GE, 1),)), False),
        (Not(Compare(N, Op.GE, 1)), Compare(N, Op.GE, 1), False),
    ],
)
def test_the_structure_is_what_the_plan_depends_on(one: Condition, other: Condition, same: bool) -> None:
    """Numbers and texts are values; booleans, nulls and the number of values are not."""
    outlines = [outline(condition, KEYS) for condition in (one, other)]
    assert all(outlines)
    assert (outlines[0].structure == outlines[1].structure) is same  # type: ignore[union-attr]


def test_a_read_by_key_and_an_empty_result_have_no_template() -> None:
    """Their plans contain the values."""
    for condition in (Constant(False), AnyOf((Constant(False), Constant(False)))):
        found = outline(condition, KEYS)
        assert found is not None
        assert template(select(condition), plan(select(condition)), found) is None
    native = replace(select(Compare(N, Op.EQ, 1)), unsupported=("a join",))
    found = outline(native.where, KEYS)
    assert found is not None
    assert template(native, plan(native), found) == NotNative(("a join",))
