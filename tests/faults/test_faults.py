"""The engine on a failing network: retries, resolved outcomes, and errors."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError

from memory.backends.firestore import errors
from memory.backends.firestore.constraints.definitions import NONCE, OWNER
from memory.backends.firestore.query.plan import (
    Aggregate,
    Compare,
    Create,
    Delete,
    Function,
    Get,
    Group,
    Measure,
    Nearest,
    Op,
    Order,
    Outcome,
    Query,
    Rpc,
    Update,
)
from memory.backends.firestore.rpc import channel
from memory.backends.firestore.rpc.executor import Executor
from memory.backends.firestore.values.types import DOCUMENT_ID, VERSION, Kind, Ref

from .proxy import Fault, Proxy, Script
from .writes import run

Code = grpc.StatusCode
NUMBER, VECTOR = Ref(("number",), Kind.INTEGER), Ref(("vector",), Kind.VECTOR)
AFTER, BEFORE = Fault("after"), Fault("before")
Behind = Callable[..., Executor]


@pytest.fixture
def log() -> list[Rpc]:
    return []


@pytest.fixture
def project() -> str:
    return f"faults-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def straight(firestore_emulator: str, project: str) -> Executor:
    """An executor without faults, on the same documents."""
    return executor_at(firestore_emulator, project, [])


@pytest.fixture
def behind(firestore_emulator: str, project: str, log: list[Rpc]) -> Iterator[Behind]:
    """Makes an executor whose calls of one method have the given faults in turn."""
    proxies: list[Proxy] = []

    def make(method: str, *faults: Fault, timeout: float = 10) -> Executor:
        proxies.append(Proxy(firestore_emulator, Script(method, list(faults))).__enter__())
        return executor_at(proxies[-1].address, project, log, timeout)

    yield make
    for proxy in proxies:
        proxy.__exit__(None, None, None)


def executor_at(address: str, project: str, log: list[Rpc], timeout: float = 10) -> Executor:
    target = channel.target({"HOST": address, "PROJECT": project})
    return Executor(target, timeout=timeout, wrap_call=lambda description, send: send(), log=log.append)


def create(number: int, id: str | None = None, **values: Any) -> Create:
    return Create("things", id or f"{number:04d}", (NUMBER, VECTOR), (number, values.get("vector")))


def numbers(executor: Executor, **query: Any) -> list[int]:
    return [row[0] for row in executor.run(Query("things", (NUMBER,), **query))]


def test_a_lost_answer_to_a_create_is_no_false_integrity_error(behind: Behind, straight: Executor) -> None:
    """The document was created and the response lost: the engine checks, and reports success once."""
    assert behind("Commit", AFTER).commit([create(1)]) == [Outcome.APPLIED]
    assert behind("Commit", AFTER, AFTER).commit([create(2), create(3)]) == [Outcome.APPLIED] * 2
    assert behind("Commit", AFTER).commit([create(4)], isolate=True) == [Outcome.APPLIED]
    assert numbers(straight) == [1, 2, 3, 4]


def test_a_create_that_never_arrived_is_sent_again(behind: Behind, straight: Executor) -> None:
    """An error before the call costs a second attempt, and the document exists once."""
    assert behind("Commit", BEFORE, BEFORE).commit([create(1)]) == [Outcome.APPLIED]
    assert numbers(straight) == [1]


def test_a_real_duplicate_is_refused_also_behind_a_lost_answer(behind: Behind, straight: Executor) -> None:
    """An existing document is unchanged, and the error is IntegrityError."""
    straight.commit([create(1, "a")])
    time.sleep(0.2)  # the margin for the server's clock
    with pytest.raises(IntegrityError):
        behind("Commit", BEFORE).commit([create(2, "a")])
    with pytest.raises(IntegrityError):
        behind("Commit", Fault("before", Code.DEADLINE_EXCEEDED), BEFORE).commit([create(3, "a")])
    assert numbers(straight) == [1]


@pytest.mark.parametrize("faults", [[AFTER], [BEFORE], [BEFORE, AFTER], [AFTER, BEFORE], [AFTER, AFTER]])
def test_an_increment_is_applied_once(behind: Behind, straight: Executor, faults: list[Fault]) -> None:
    """Whether the call or its response is lost, one is added."""
    straight.commit([create(1, "a")])
    time.sleep(0.2)
    update = Update("things", "a", increments=((NUMBER, 1),))
    assert behind("Commit", *faults).commit([update]) == [Outcome.APPLIED]
    assert numbers(straight) == [2]


def test_an_unknown_outcome_is_reported(
    behind: Behind, straight: Executor, firestore_emulator: str, project: str
) -> None:
    """A lost increment that another writer overwrote at once is an OperationalError, not a second increment."""
    straight.commit([create(1, "a")])

    class Meddling(Script):
        def __call__(self, method: str) -> Fault:
            if method == "BatchGetDocuments":
                straight.commit([Update("things", "a", increments=((NUMBER, 10),))])
            return super().__call__(method)

    with Proxy(firestore_emulator, Meddling("Commit", [AFTER])) as proxy:
        executor = executor_at(proxy.address, project, [])
        with pytest.raises(OperationalError, match="the outcome is unknown") as caught:
            executor.commit([Update("things", "a", increments=((NUMBER, 1),))])
    assert caught.value.rows == (0,)  # type: ignore[attr-defined]
    assert numbers(straight) == [12]


def test_a_lost_delete_counts_as_done(behind: Behind, straight: Executor) -> None:
    """A document that had to exist and is missing after a lost response was deleted by this call."""
    straight.commit([create(1, "a")])
    time.sleep(0.2)
    assert behind("Commit", AFTER).commit([Delete("things", "a", must_exist=True)], isolate=True) == [Outcome.APPLIED]
    assert behind("Commit", BEFORE).commit([Delete("things", "a")]) == [Outcome.APPLIED]


def test_a_lost_commit_of_a_transaction_is_resolved(behind: Behind, straight: Executor) -> None:
    """The transaction was applied once, and the commit succeeds."""
    straight.commit([create(1, "a")])
    time.sleep(0.2)
    executor = behind("Commit", AFTER)
    transaction = executor.begin()
    list(executor.run(Get("things", ("a",), (NUMBER,)), transaction=transaction))
    writes = [Update("things", "a", (NUMBER,), (5,)), create(2)]
    executor.commit_whole(writes, transaction)
    assert sorted(numbers(straight)) == [2, 5]


@pytest.mark.parametrize("faults", [[AFTER], [BEFORE], [BEFORE, AFTER]], ids=["applied", "not sent", "both"])
def test_a_lost_commit_of_a_block_that_only_wrote_is_resolved(
    behind: Behind, straight: Executor, faults: list[Fault]
) -> None:
    """Without a transaction of the server, the documents show the outcome; all of it is applied once."""
    straight.commit([create(1, "a"), create(7, "b")])
    time.sleep(0.2)
    writes = [Update("things", "a", increments=((NUMBER, 10),)), create(2), Delete("things", "b", must_exist=True)]
    behind("Commit", *faults).commit_whole(writes)
    assert sorted(numbers(straight)) == [2, 11]


def test_a_transaction_that_ended_unheard_is_contention(behind: Behind, straight: Executor) -> None:
    """The commit never arrived and the transaction is gone when it is sent again: nothing was applied."""
    straight.commit([create(1, "a")])
    time.sleep(0.2)
    executor = behind("Commit", BEFORE)
    transaction = executor.begin()
    executor.rollback(transaction)
    with pytest.raises(errors.Contention, match="ended before"):
        executor.commit_whole([Update("things", "a", (NUMBER,), (5,))], transaction)
    assert numbers(straight) == [1]


def row(id: str, value: str, nonce: str = "ours") -> Group:
    """A row with a unique value."""
    marker = Create("things:unique", value, (OWNER, NONCE), (id, nonce), f"{value} is taken")
    return Group((create(1, id),), (marker,))


def test_a_lost_answer_to_a_group_is_resolved(behind: Behind, straight: Executor) -> None:
    """Row and marker were created, or were not: success once, and a value that is taken is refused in its words."""
    assert behind("Commit", AFTER).commit([row("a", "x")]) == [Outcome.APPLIED]
    assert behind("Commit", BEFORE, AFTER).commit([row("b", "y"), row("c", "z")]) == [Outcome.APPLIED] * 2
    time.sleep(0.2)
    with pytest.raises(IntegrityError, match="x is taken"):
        behind("Commit", BEFORE).commit([row("d", "x", "other")])
    assert behind("Commit", AFTER).commit([row("d", "x"), row("e", "w")], isolate=True) == [
        Outcome.EXISTS,
        Outcome.APPLIED,
    ]
    assert len(numbers(straight)) == 4


def meddling(method: str, fault: Fault, meddle: Callable[[], Any]) -> Callable[[str], Fault]:
    """A fault for the first call of a method, and a callback that runs before it."""
    faults = [fault]

    def choose(called: str) -> Fault:
        if called != method or not faults:
            return Fault()
        meddle()
        return faults.pop()

    return choose


def test_another_writers_equal_row_is_no_evidence(straight: Executor, firestore_emulator: str, project: str) -> None:
    """Two writers create the same row, and one response is lost: that writer does not report success."""
    with (
        Proxy(
            firestore_emulator, meddling("Commit", BEFORE, lambda: straight.commit([row("a", "x", "theirs")]))
        ) as proxy,
        pytest.raises(DatabaseError),
    ):
        executor_at(proxy.address, project, []).commit([row("a", "x")])
    assert [nonce for (nonce,) in straight.run(Query("things:unique", (NONCE,)))] == ["theirs"]


def test_a_marker_that_is_gone_is_no_evidence(straight: Executor, firestore_emulator: str, project: str) -> None:
    """Two writers rename a row, and one response is lost: the missing old marker does not show who removed it."""

    def rename(value: str, version: Any, old: Any) -> Group:
        update = Update("things", "a", (NUMBER,), (len(value),), version=version)
        new = Create("things:unique", value, (OWNER, NONCE), ("a", value))
        return Group((update,), (Delete("things:unique", "x", version=old), new))

    straight.commit([row("a", "x")])
    time.sleep(0.2)
    [(version,)] = straight.run(Query("things", (VERSION,)))
    [(old,)] = straight.run(Query("things:unique", (VERSION,)))
    with Proxy(
        firestore_emulator, meddling("Commit", BEFORE, lambda: straight.commit([rename("yy", version, old)]))
    ) as proxy:
        assert executor_at(proxy.address, project, []).commit([rename("zzz", version, old)], isolate=True) == [
            Outcome.STALE
        ]
    assert numbers(straight) == [2]


def test_contention_is_retried_outside_of_transactions_only(behind: Behind, straight: Executor) -> None:
    """ABORTED means that nothing was applied: a lone commit is retried, a transaction must be run again."""
    aborted = Fault("before", Code.ABORTED)
    assert behind("Commit", aborted).commit([create(1)]) == [Outcome.APPLIED]
    executor = behind("Commit", aborted)
    transaction = executor.begin()
    with pytest.raises(errors.Contention):
        executor.commit_whole([create(2)], transaction)
    executor.rollback(transaction)
    assert numbers(straight) == [1]


@pytest.mark.parametrize(
    "query",
    [
        Query("things", (NUMBER,)),
        Query("things", (), orders=(Order(NUMBER, descending=True),)),
        Query("things", (DOCUMENT_ID,), Compare(NUMBER, Op.GT, 3)),
        Query("things", (NUMBER,), orders=(Order(NUMBER),), limit=25, offset=5),
        Query("things", (NUMBER,), Compare(NUMBER, Op.NE, 7), orders=(Order(VECTOR), Order(NUMBER, descending=True))),
    ],
    ids=str,
)
def test_a_cut_stream_is_taken_up_where_it_stopped(behind: Behind, straight: Executor, query: Query) -> None:
    """Every row is returned once, in order, however often the stream breaks; received rows are not read again."""
    straight.commit([create(n) for n in range(40)])
    expected = list(straight.run(query))
    assert len(expected) > 20
    cuts = [Fault("cut", messages=n) for n in (5, 0, 7, 1, 9)]
    assert list(behind("RunQuery", *cuts).run(query)) == expected
    assert list(behind("RunQuery", Fault("after")).run(query)) == expected


def test_a_stream_sees_one_point_in_time(behind: Behind, straight: Executor) -> None:
    """Writes between the break and the resumption are not visible."""
    straight.commit([create(n) for n in range(20)])
    rows = behind("RunQuery", Fault("cut", messages=5)).run(Query("things", (NUMBER,), orders=(Order(NUMBER),)))
    first = [next(rows)[0] for _ in range(4)]
    straight.commit([create(100)])
    assert first + [row[0] for row in rows] == list(range(20))


def test_other_streams_are_repeated(behind: Behind, straight: Executor) -> None:
    """Reads by id request the missing documents; aggregates and nearest neighbours restart."""
    straight.commit([create(n, vector=[float(n), 1.0]) for n in range(1, 13)])
    ids = tuple(f"{n:04d}" for n in range(1, 15))
    cuts = [Fault("cut", messages=n) for n in (3, 0, 4)]
    found = behind("BatchGetDocuments", *cuts).run(Get("things", ids, (NUMBER,)))
    assert [row[0] for row in found] == list(range(1, 13))
    count = Aggregate(Query("things"), Function.COUNT)
    assert behind("RunAggregationQuery", *cuts).aggregate([count]) == (12,)
    nearest = Nearest(Query("things", (NUMBER,)), VECTOR, (1.0, 1.0), Measure.EUCLIDEAN, limit=5)
    assert [row[0] for row in behind("RunQuery", *cuts).run(nearest)] == [1, 2, 3, 4, 5]


def test_every_call_ends_at_its_deadline(behind: Behind, straight: Executor) -> None:
    """A network that drops everything raises OperationalError in time, for reads and writes."""
    straight.commit([create(1)])
    slow = [Fault("delay", seconds=4)] * 2
    for method, call in (
        ("Commit", lambda executor: executor.commit([create(2)])),
        ("RunQuery", numbers),
        ("GetDocument", lambda executor: list(executor.run(Get("things", ("a",))))),
        ("BatchGetDocuments", lambda executor: list(executor.run(Get("things", ("a", "b"))))),
    ):
        executor = behind(method, *slow, timeout=0.8)
        started = time.monotonic()
        with pytest.raises(OperationalError):
            call(executor)
        assert time.monotonic() - started < 3.5


def test_definite_errors_are_not_repeated(behind: Behind, log: list[Rpc]) -> None:
    """Errors that a retry cannot fix are raised at once."""
    for code in (Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED):
        log.clear()
        with pytest.raises(DatabaseError):
            behind("Commit", Fault("before", code)).commit([create(1)])
        with pytest.raises(DatabaseError):
            numbers(behind("RunQuery", Fault("before", code)))
        assert len(log) == 2


def test_mixed_writes_under_faults(firestore_emulator: str) -> None:
    """The short form of `python -m tests.faults.writes`: nothing lost, nothing doubled, no false IntegrityError."""
    account = run(firestore_emulator, count=400, rate=0.2, seed=3)
    assert not account.wrong
    assert account.faults["after"] > 0
    assert account.faults["before"] > 0
