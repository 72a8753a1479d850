"""The write buffer, compared with a simple model: dicts to which each write is applied at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.backends.firestore.query.plan import Create, Delete, Outcome, Put, Update, Write
from memory.backends.firestore.transactions.write_buffer import BY_ID, Buffer, Deleted, Patch, Precondition, Row
from memory.backends.firestore.values.types import Kind, Ref

Store = dict[str, dict[str, int]]

IDS = "ab"
REFS = [Ref((name,), Kind.INTEGER) for name in "xyz"]
NUMBERS = st.integers(0, 9)
COLUMNS = st.lists(st.sampled_from(REFS), unique=True).map(tuple)
SAVE, BACK = "save", "back"


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """Any write to one of a few documents."""
    id, kind = draw(st.sampled_from(IDS)), draw(st.sampled_from([Create, Put, Update, Delete]))
    if kind is Delete:
        return Delete("t", id, must_exist=draw(st.booleans()))
    columns = draw(COLUMNS)
    values = tuple(draw(NUMBERS) for _ in columns)
    if kind is Create:
        return Create("t", id, columns, values)
    if kind is Put:
        return Put("t", id, columns, values, must_exist=draw(st.booleans()))
    # Each column has one kind of transform, since transforms of different kinds cannot be merged.
    added, low, high = (
        tuple((ref, draw(NUMBERS)) for ref in [ref] if ref not in columns and draw(st.booleans())) for ref in REFS
    )
    return Update("t", id, columns, values, added, least=low, greatest=high, upsert=draw(st.booleans()))


STORES = st.dictionaries(st.sampled_from(IDS), st.dictionaries(st.sampled_from("xyz"), NUMBERS))
STEPS = st.lists(writes() | st.sampled_from([SAVE, BACK]), max_size=12)


def add(value: Any, amount: int) -> int:
    return (value or 0) + amount


def widened(value: Any, bound: int, *, greatest: bool) -> int:
    return bound if value is None else (max if greatest else min)(value, bound)


def apply(store: Store, write: Write) -> Outcome:
    """Applies one write to documents like Firestore."""
    there = write.id in store
    if isinstance(write, Create) and there:
        return Outcome.EXISTS
    must_exist = (isinstance(write, Update) and not write.upsert) or (
        isinstance(write, Put | Delete) and write.must_exist
    )
    if must_exist and not there:
        return Outcome.MISSING
    if isinstance(write, Delete):
        store.pop(write.id, None)
        return Outcome.APPLIED
    row = dict(store.get(write.id, {})) if isinstance(write, Update) else {}
    row |= {ref.name: value for ref, value in zip(write.columns, write.values, strict=True)}
    if isinstance(write, Update):
        row |= {ref.name: add(row.get(ref.name), amount) for ref, amount in write.increments}
        row |= {ref.name: widened(row.get(ref.name), bound, greatest=False) for ref, bound in write.least}
        row |= {ref.name: widened(row.get(ref.name), bound, greatest=True) for ref, bound in write.greatest}
    store[write.id] = row
    return Outcome.APPLIED


def laid_over(buffer: Buffer, stored: Store) -> Store:
    """The documents as a reader inside the transaction sees them."""
    seen = dict(stored)
    for id, entry in buffer.entries_of("t").items():
        match entry.state:
            case Deleted():
                seen.pop(id, None)
            case Row(values):
                seen[id] = dict(values)
            case Patch(values, increments, least, greatest):
                row = {**stored.get(id, {}), **values}
                row |= {name: widened(row.get(name), bound, greatest=False) for name, bound in least.items()}
                row |= {name: widened(row.get(name), bound, greatest=True) for name, bound in greatest.items()}
                seen[id] = row | {name: add(row.get(name), amount) for name, amount in increments.items()}
    return seen


def check_index(buffer: Buffer, model: Store) -> None:
    """Each row with a value is found by it and by ranges around it, and no row that is known to have another."""
    own = buffer.entries_of("t")
    for value in (0, 3, 9):
        found = buffer.index("t", "x").find([("number", value)])
        assert len(set(found)) == len(found)
        assert {id for id in own if id in model and model[id].get("x") == value} <= set(found)
        for id in found:
            state = own[id].state
            assert not isinstance(state, Deleted)
            assert state.values.get("x", value) == value
    for low, high in ((2, 5), (None, 4), (6, None), (5, 2)):
        found = buffer.index("t", "x").between(*(None if end is None else ("number", end) for end in (low, high)))
        within = range(low or 0, 1000 if high is None else high + 1)
        assert len(set(found)) == len(found)
        assert {id for id in own if id in model and model[id].get("x") in within} <= set(found)
        for id in found:
            state = own[id].state
            assert not isinstance(state, Deleted)
            assert "x" not in state.values or state.values["x"] in within
    alive = {id for id in own if not isinstance(own[id].state, Deleted)}
    assert set(buffer.index("t", BY_ID).between(("id", "b"), None)) == alive - {"a"}
    assert set(buffer.stored_ids("t")) == {
        id for id, entry in own.items() if entry.precondition is not Precondition.ABSENT
    }


def sent(buffer: Buffer) -> Sequence[Write]:
    """The writes to send, one per document."""
    made = list(buffer.writes())
    assert len({write.id for write in made}) == len(made)
    return made


@settings(max_examples=400)
@given(STORES, STEPS)
def test_it_does_what_the_writes_would(stored: Store, steps: list[Any]) -> None:
    """Outcomes, reads, rollbacks to savepoints, and the documents after the commit agree with the model."""
    buffer = Buffer(add, lambda value: ("number", value), widened)
    model: Store = {id: dict(row) for id, row in stored.items()}
    marks: list[tuple[int, Store]] = [(buffer.mark(), dict(model))]
    for step in steps:
        if step == SAVE:
            marks.append((buffer.mark(), dict(model)))
        elif step == BACK:
            mark, model = marks[-1][0], dict(marks[-1][1])
            buffer.rollback(mark)
        else:
            assert buffer.apply(step, step.id in stored) is apply(model, step)
        assert laid_over(buffer, stored) == model
        check_index(buffer, model)
    result: Store = {id: dict(row) for id, row in stored.items()}
    assert {apply(result, write) for write in sent(buffer)} <= {Outcome.APPLIED}
    assert result == model
    assert buffer.collections() == ({"t"} if any(id in model for id in buffer.entries_of("t")) else set())
    buffer.rollback(0)
    assert not sent(buffer)
    assert not buffer.entries_of("t")


@settings(max_examples=400)
@given(STORES, st.lists(writes(), max_size=6))
def test_the_commit_checks_assumptions(stored: Store, steps: list[Write]) -> None:
    """A write to an unknown document is assumed to succeed. If it does not, the commit fails, unless the row was
    deleted in between, which the caller has to check."""
    buffer, model = Buffer(add, widened=widened), {id: dict(row) for id, row in stored.items()}
    first: dict[str, Outcome] = {}
    for step in steps:
        assumed = buffer.apply(step)
        if step.id not in first:
            first[step.id] = Outcome.APPLIED
            assert assumed is Outcome.APPLIED
            first[step.id] = apply(model, step)
    made = {write.id: write for write in sent(buffer)}
    for id, outcome in first.items():
        if id in made:
            assert (apply({id: {}} if id in stored else {}, made[id]) is Outcome.APPLIED) == (
                outcome is Outcome.APPLIED
            )
        else:
            assert ("t", id) in buffer.created()


ROW = Create("t", "a", (REFS[0],), (1,))
CHANGE = Update("t", "a", (REFS[1],), (2,))
ADD = Update("t", "a", increments=((REFS[0], 5),))
DELETED = Delete("t", "a", must_exist=True)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([ROW, CHANGE], {"x": 1, "y": 2}),
        ([ROW, ADD, ADD], {"x": 11}),
        ([ROW, DELETED], None),
        ([ROW, DELETED, ROW], {"x": 1}),
    ],
)
def test_a_row_created_by_the_transaction_is_one_create(steps: list[Write], expected: Mapping[str, int] | None) -> None:
    """However often it was updated; nothing is sent if it was deleted."""
    buffer = Buffer(add)
    for step in steps:
        buffer.apply(step)
    made = sent(buffer)
    assert [type(write) for write in made] == ([] if expected is None else [Create])
    assert all(dict(zip((ref.name for ref in w.columns), w.values, strict=True)) == expected for w in made)  # type: ignore[union-attr]


def test_changes_of_a_stored_row_are_one_update() -> None:
    """Increments are summed until a value is set, and a required version is kept."""
    buffer = Buffer(add)
    for step in (replace(ADD, version=(1, 2)), CHANGE, ADD):
        buffer.apply(step)
    [made] = sent(buffer)
    x, y = (Ref((name,), Kind.WIRE) for name in "xy")
    assert made == Update("t", "a", (y,), (2,), ((x, 10),), (1, 2))
    buffer.apply(Update("t", "a", (REFS[0],), (0,)))
    buffer.apply(ADD)
    [made] = sent(buffer)
    assert made == Update("t", "a", (y, x), (2, 5), (), (1, 2))


def test_a_stored_row_that_is_deleted_and_created_is_replaced() -> None:
    """With the precondition that it exists."""
    buffer = Buffer(add)
    buffer.apply(DELETED)
    assert buffer.apply(DELETED) is Outcome.MISSING
    assert buffer.apply(CHANGE) is Outcome.MISSING
    buffer.apply(ROW)
    [made] = sent(buffer)
    assert made == Put("t", "a", (Ref(("x",), Kind.WIRE),), (1,), must_exist=True)


def test_a_part_of_a_column_cannot_be_written() -> None:
    """The buffer holds whole columns."""
    with pytest.raises(TypeError, match=r"data\.key is a path inside a column"):
        Buffer(add).apply(Update("t", "a", (Ref(("data", "key"), Kind.JSON),), (1,)))


def test_different_transforms_of_a_column_are_refused() -> None:
    """Firestore would apply them in another order than that of the statements."""
    buffer = Buffer(add, widened=widened)
    buffer.apply(Update("t", "a", increments=((REFS[0], 1),)))
    with pytest.raises(TypeError, match="x"):
        buffer.apply(Update("t", "a", greatest=((REFS[0], 1),)))
