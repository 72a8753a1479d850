"""The checker on known anomalies, and compared with trying all orders."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .checker import check
from .history import Append, Operation, Read, Status, Transaction


def history(*texts: str) -> list[Transaction]:
    """Transactions at the same time, each of a process of its own: `x+1 y:1,2` appends 1 to x and reads [1, 2] in y.

    A first letter F or U means that it failed or that its end is unknown; `@2-3` is its time, in seconds.
    """
    return [_transaction(number, text.split()) for number, text in enumerate(texts, 1)]


def _transaction(number: int, words: list[str]) -> Transaction:
    start, end = 0.0, 10.0
    if words[-1].startswith("@"):
        start, end = map(float, words.pop()[1:].split("-"))
    status = {"F": Status.FAILED, "U": Status.UNKNOWN}.get(words[0], Status.OK)
    operations = [_operation(word) for word in words if word not in "FU"]
    return Transaction(number, number, start, end, tuple(operations), status)


def _operation(word: str) -> Operation:
    if "+" in word:
        key, value = word.split("+")
        return Append(key, int(value))
    key, values = word.split(":")
    return Read(key, tuple(int(value) for value in values.split(",") if value))


BAD = {
    "G0": ["x+1 y+1", "x+2 y+2", "x:1,2 y:2,1"],
    "G1a": ["F x+1", "x:1"],
    "G1b": ["x+1 x+2", "x:1", "x:1,2"],
    "G1c": ["x+1 y:1", "y+1 x:1"],
    "G-single": ["x+1 y+1", "x: y:1"],
    "G2": ["x: y+1", "y: x+1", "x:1 y:1"],
    "lost update": ["x: x+1", "x: x+2", "x:1,2"],
    "internal": ["x+1", "x:1 x+2 x:1", "x:1,2"],
    "duplicate": ["x+1", "x:1,1"],
    "garbage": ["x:7"],
    "scattered": ["x+1 x+2 x+3", "x:1,3,2"],
    "incompatible orders": ["x+1", "x+2", "x:1,2", "x:2,1"],
    "G0-realtime": ["x+1 @5-6", "x+2 @1-2", "x:1,2 @8-9"],
    "G1c-realtime": ["x+1 @5-6", "x:1 @1-2"],
    "G-single-realtime": ["x+1 @1-2", "x: @3-4"],
}


@pytest.mark.parametrize("kind", BAD)
def test_an_anomaly_is_found_and_named(kind: str) -> None:
    """Each kind in the shortest history that has it."""
    assert kind in {anomaly.kind for anomaly in check(history(*BAD[kind]))}


BAD_TOO = {
    "an update that no read shows": (["x: x+1 @1-2", "x: x+2 @1-2"], "lost update"),
    "a long fork": (["x+1", "y+1", "x:1 y:", "x: y:1"], "G2"),
    "an acknowledged append that is gone": (["x+1 @1-2", "x+2 @1-2", "x:2 @3-4"], "G-single-realtime"),
    "an unknown one that is there in half": (["U x+1 y+1 @1-2", "x:1 y: @1-2"], "G-single"),
    "an unknown one before it began": (["x:1 @1-2", "U x+1 @5-6"], "G1c-realtime"),
    "a read that changes": (["x+1", "x: x:1"], "internal"),
    "a failed one among others": (["x+1", "F x+2", "x+3", "x:1,2,3"], "G1a"),
}


@pytest.mark.parametrize("name", BAD_TOO)
def test_other_faults_are_found(name: str) -> None:
    """Published anomalies of real systems."""
    texts, kind = BAD_TOO[name]
    assert kind in {anomaly.kind for anomaly in check(history(*texts))}


GOOD = {
    "nothing": [],
    "one after the other": ["x+1 @1-2", "x:1 x+2 @3-4", "x:1,2 @5-6"],
    "at the same time, either order": ["x+1 @1-9", "x: @2-3", "x:1 @4-5"],
    "itself": ["x: x+1 x:1 x+2 x:1,2"],
    "a failed one that nobody saw": ["F x+1", "x:"],
    "an unknown one that nobody saw": ["U x+1 @1-2", "x: @3-4"],
    "an unknown one that was applied": ["U x+1 @1-2", "x:1 @3-4"],
    "an unknown one that was applied late": ["U x+1 y+1 @1-2", "x: y: @3-4", "x:1 y:1 @5-6"],
    "what an unknown one read": ["U x:7,8 x+1", "x:1"],
    "appends that nobody saw": ["x+1", "x+2", "y:"],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_serializable_is_accepted(name: str) -> None:
    """Also if a process does not know the outcome of its transaction."""
    assert check(history(*GOOD[name])) == []


def test_a_value_has_one_writer() -> None:
    """A history with ambiguous appends proves nothing."""
    with pytest.raises(ValueError, match="twice"):
        check(history("x+1", "x+1"))


def test_processes_are_in_order() -> None:
    """A process that does not see its own last transaction is reported as such, unless a stronger anomaly exists."""
    wrote, read = history("x+1 @1-2", "x: @3-4")
    assert [anomaly.kind for anomaly in check([wrote, replace(read, process=wrote.process)])] == ["G-single-process"]


def test_long_histories_are_quick() -> None:
    """Thousands of transactions are checked in seconds, and a fault in the middle is found."""
    made = _serial(random.Random(5), 4_000, keys="abcdefgh")  # noqa: S311
    assert check(made) == []
    position = next(n for n in range(2_000, 4_000) if any(len(read.values) > 3 for read in made[n].reads))
    assert check([*made[:position], _without_last(made[position]), *made[position + 1 :]])


# Histories of serial transactions with overlapping times.


def _serial(chance: random.Random, count: int, keys: str = "xy", failures: bool = True) -> list[Transaction]:
    """So many transactions of one to four operations; each took effect at its number, within its start and end."""
    lists: dict[str, tuple[int, ...]] = defaultdict(tuple)
    made = []
    for number in range(1, count + 1):
        status = chance.choices(list(Status), [8, 1, 1] if failures else [1, 0, 0])[0]
        applied = status is Status.OK or (status is Status.UNKNOWN and chance.random() < 0.5)
        after = dict(lists)
        operations: list[Operation] = []
        for step in range(chance.randint(1, 4)):
            key = chance.choice(keys)
            if chance.random() < 0.5:
                operations.append(Append(key, number * 10 + step))
                after[key] = (*after.get(key, ()), number * 10 + step)
            else:
                operations.append(Read(key, after.get(key, ())))
        if applied:
            lists.update(after)
        start, end = number - chance.uniform(0.1, 2), number + chance.uniform(0.1, 2)
        made.append(Transaction(number, number, start, end, tuple(operations), status))
    last = tuple(Read(key, lists[key]) for key in keys)
    return [*made, Transaction(count + 1, count + 1, count + 9.0, count + 10.0, last)]


def _without_last(transaction: Transaction) -> Transaction:
    """The same, but one of its reads lacks the last appended value."""
    operations = list(transaction.operations)
    for position, operation in enumerate(operations):
        if isinstance(operation, Read) and len(transaction.before_itself(operation)) > 1:
            kept = (
                transaction.before_itself(operation)[:-1]
                + operation.values[len(transaction.before_itself(operation)) :]
            )
            operations[position] = Read(operation.key, kept)
            break
    return replace(transaction, operations=tuple(operations))


def explained(transactions: list[Transaction]) -> bool:
    """Whether some order of the transactions, and some choice of the unknown ones, gives every read: by trying all."""
    certain = [t for t in transactions if t.status is Status.OK]
    unknown = [t for t in transactions if t.status is Status.UNKNOWN]
    for chosen in range(2 ** len(unknown)):
        applied = [*certain, *(t for bit, t in enumerate(unknown) if chosen >> bit & 1)]
        if any(_runs(order) for order in permutations(applied)):
            return True
    return False


def _runs(order: tuple[Transaction, ...]) -> bool:
    lists: dict[str, tuple[int, ...]] = defaultdict(tuple)
    latest = float("-inf")
    for transaction in order:
        if transaction.ended < latest:
            return False
        latest = max(latest, transaction.start)
        for operation in transaction.operations:
            if isinstance(operation, Append):
                lists[operation.key] += (operation.value,)
            elif transaction.status is Status.OK and lists[operation.key] != operation.values:
                return False
    return True


@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
@settings(max_examples=200)
def test_serial_histories_are_accepted(seed: int, count: int) -> None:
    """For any overlaps, failures and unknown outcomes."""
    assert check(_serial(random.Random(seed), count)) == []  # noqa: S311


@given(seed=st.integers(0, 2**32), count=st.integers(2, 4), faults=st.integers(0, 2))
@settings(max_examples=400)
def test_the_checker_agrees_with_trying_all_orders(seed: int, count: int, faults: int) -> None:
    """An anomaly is reported exactly if no order explains the history."""
    chance = random.Random(seed)  # noqa: S311
    made = _serial(chance, count)
    for _ in range(faults):
        at = chance.randrange(len(made))
        made[at] = chance.choice([_without_last, _shuffled, _earlier, _failed])(made[at])
    assert (check(made) == []) == explained(made)


def _shuffled(transaction: Transaction) -> Transaction:
    """The same, with its reads' values the other way round."""
    turned = [Read(o.key, o.values[::-1]) if isinstance(o, Read) else o for o in transaction.operations]
    return replace(transaction, operations=tuple(turned))


def _earlier(transaction: Transaction) -> Transaction:
    """The same, two seconds earlier."""
    return replace(transaction, start=transaction.start - 2, end=transaction.end - 2)


def _failed(transaction: Transaction) -> Transaction:
    """The same, but its process believes that it failed."""
    return replace(transaction, status=Status.FAILED)
