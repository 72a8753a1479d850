"""Plans, run on the emulator: results, order and cost."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.backends.firestore.errors import Contention
from memory.backends.firestore.query.plan import (
    Aggregate,
    And,
    Compare,
    Create,
    Delete,
    Function,
    Get,
    Measure,
    Merge,
    Nearest,
    Op,
    Or,
    Order,
    Outcome,
    Put,
    Query,
    Rpc,
    Update,
)
from memory.backends.firestore.rpc import channel
from memory.backends.firestore.rpc.executor import Executor
from memory.backends.firestore.values import document_ids
from memory.backends.firestore.values.types import DOCUMENT_ID, VERSION, Kind, Ref

ID = Ref(("id",), Kind.INTEGER, key=True)
NUMBER = Ref(("number",), Kind.INTEGER)
WORD = Ref(("word",), Kind.TEXT)
META = Ref(("meta",), Kind.JSON)
VECTOR = Ref(("vector",), Kind.VECTOR)


@pytest.fixture
def log() -> list[Rpc]:
    return []


@pytest.fixture
def executor(firestore_emulator: str, log: list[Rpc]) -> Executor:
    """An executor with its own project, so that every test starts with an empty database."""
    target = channel.target({"HOST": firestore_emulator, "PROJECT": f"t-{uuid.uuid4().hex[:12]}"})
    return Executor(target, timeout=10, wrap_call=lambda description, send: send(), log=log.append)


def create(number: int, word: str | None = None, **more: Any) -> Create:
    values = {
        ID: number,
        NUMBER: number,
        WORD: word,
        **{{"meta": META, "vector": VECTOR}[name]: more[name] for name in more},
    }
    return Create("things", f"{number:019d}", tuple(values), tuple(values.values()))


@pytest.fixture
def things(executor: Executor, log: list[Rpc]) -> Callable[..., None]:
    def make(count: int, word: Callable[[int], str | None] = str, **more: Callable[[int], Any]) -> None:
        rows = (create(n, word(n), **{name: value(n) for name, value in more.items()}) for n in range(count))
        executor.commit(list(rows))
        log.clear()

    return make


def numbers(rows: Iterator[tuple[Any, ...]]) -> list[Any]:
    return [row[0] for row in rows]


def test_created_documents_are_read_as_rows(executor: Executor, log: list[Rpc]) -> None:
    """One commit writes, one query reads, and both are logged with their cost."""
    assert executor.commit([create(1, "one"), create(2)]) == [Outcome.APPLIED, Outcome.APPLIED]
    assert list(executor.run(Query("things", (ID, WORD)))) == [(1, "one"), (2, None)]
    assert [(rpc.method, rpc.documents_read, rpc.documents_written) for rpc in log] == [
        ("Commit", 0, 2),
        ("RunQuery", 2, 0),
    ]


def test_nothing_is_sent_before_the_first_row(executor: Executor, things: Callable[..., None], log: list[Rpc]) -> None:
    """Creating an iterator sends nothing; closing it early cancels the stream."""
    things(50)
    rows = executor.run(Query("things", (ID,)))
    assert not log
    assert next(rows) == (0,)
    rows.close()  # type: ignore[attr-defined]
    assert len(log) == 1


def test_a_wrapper_sees_each_call(firestore_emulator: str) -> None:
    """`wrap_call` can prevent a call."""

    def refuse(description: str, send: Callable[[], Any]) -> Any:
        raise AssertionError(description)

    target = channel.target({"HOST": firestore_emulator, "PROJECT": "around"})
    executor = Executor(target, timeout=10, wrap_call=refuse, log=lambda rpc: None)
    for start in (
        lambda: list(executor.run(Query("things"))),
        lambda: list(executor.run(Get("things", ("a",)))),
        lambda: list(executor.run(Get("things", ("a", "b")))),
        lambda: executor.aggregate([Aggregate(Query("things"), Function.COUNT)]),
        lambda: executor.commit([create(1)]),
        executor.begin,
        executor.ping,
        executor.collections,
    ):
        with pytest.raises(AssertionError):
            start()


FILTERS = [
    (Compare(NUMBER, Op.EQ, 3), [3]),
    (Compare(NUMBER, Op.NE, 3), [0, 1, 2, 4, 5]),
    (Compare(NUMBER, Op.LT, 2), [0, 1]),
    (Compare(NUMBER, Op.IN, (1, 4)), [1, 4]),
    (Compare(NUMBER, Op.NOT_IN, (1, 4)), [0, 2, 3, 5]),
    (Compare(WORD, Op.IS_NULL), [5]),
    (Compare(WORD, Op.IS_NOT_NULL), [0, 1, 2, 3, 4]),
    (And((Compare(NUMBER, Op.GE, 1), Compare(NUMBER, Op.LE, 2))), [1, 2]),
    (Or((Compare(NUMBER, Op.EQ, 1), Compare(WORD, Op.EQ, "w3"))), [1, 3]),
    (Compare(DOCUMENT_ID, Op.GT, f"{3:019d}"), [4, 5]),
    (Compare(DOCUMENT_ID, Op.IN, (f"{3:019d}", f"{9:019d}")), [3]),
    (Compare(Ref(("meta", "a b", "__c__"), Kind.JSON), Op.EQ, 2), [2]),
    (Compare(Ref(("meta", "list"), Kind.JSON), Op.EQ, [[1]]), [1]),
    (Compare(Ref(("meta", "list"), Kind.JSON), Op.ARRAY_CONTAINS, 4), [4]),
]


@pytest.mark.parametrize(("where", "expected"), FILTERS, ids=lambda part: str(part)[:40])
def test_filters(executor: Executor, things: Callable[..., None], where: Any, expected: list[int]) -> None:
    """Every operator, on columns, ids, and keys of JSON that need quoting and escaping."""
    things(
        6, lambda n: None if n == 5 else f"w{n}", meta=lambda n: {"a b": {"__c__": n}, "list": [[n]] if n < 3 else [n]}
    )
    assert sorted(numbers(executor.run(Query("things", (ID,), where)))) == expected


def test_orders_limits_offsets_and_cursors(executor: Executor, things: Callable[..., None]) -> None:
    """Two sort keys, nulls first, and a page that starts after a cursor."""
    things(6, lambda n: None if n == 5 else "ab"[n % 2])
    orders = (Order(WORD), Order(NUMBER, descending=True))
    query = Query("things", (NUMBER,), orders=orders)
    assert numbers(executor.run(query)) == [5, 4, 2, 0, 3, 1]
    assert numbers(executor.run(Query("things", (NUMBER,), orders=orders, limit=2, offset=1))) == [4, 2]
    page = Query("things", (NUMBER,), orders=orders, start_after=("a", 2), limit=2)
    assert numbers(executor.run(page)) == [0, 3]
    assert numbers(executor.run(Query("things", (NUMBER,), limit=0))) == []
    assert numbers(executor.run(Query("things", (NUMBER,), orders=orders, limit=2**40))) == [5, 4, 2, 0, 3, 1]


def test_get_keeps_the_order_of_ids_and_leaves_out_the_missing(
    executor: Executor, things: Callable[..., None], log: list[Rpc]
) -> None:
    """One id is a unary call, several are one stream; duplicate ids are read once."""
    things(4)
    ids = [f"{n:019d}" for n in range(9)]
    assert numbers(executor.run(Get("things", (ids[2],), (NUMBER,)))) == [2]
    assert numbers(executor.run(Get("things", (ids[7],), (NUMBER,)))) == []
    assert numbers(executor.run(Get("things", (ids[3], ids[8], ids[0], ids[3]), (NUMBER,)))) == [3, 0]
    assert [(rpc.method, rpc.documents_read) for rpc in log] == [
        ("GetDocument", 1), ("GetDocument", 1), ("BatchGetDocuments", 3),
    ]  # fmt: skip
    assert list(executor.run(Get("things", (ids[1], ids[2]), ()))) == [(), ()]


def test_get_of_more_than_a_batch(executor: Executor, things: Callable[..., None]) -> None:
    """Many ids are read in several calls."""
    things(700)
    ids = tuple(f"{n:019d}" for n in reversed(range(700)))
    assert numbers(executor.run(Get("things", ids, (NUMBER,)))) == list(reversed(range(700)))


@pytest.mark.parametrize("branches", [3, 30])
def test_merge_sorts_and_drops_duplicates(executor: Executor, things: Callable[..., None], branches: int) -> None:
    """Each document of overlapping branches is returned once, in the common order, whatever columns are read."""
    things(90, lambda n: str(n % 10))
    for orders, expected in (
        ((Order(NUMBER, descending=True),), sorted((n for n in range(90)), reverse=True)),
        ((Order(WORD), Order(NUMBER)), sorted(range(90), key=lambda n: (str(n % 10), n))),
        ((), list(range(90))),
    ):
        parts = tuple(
            Query(
                "things",
                (ID,),
                Compare(NUMBER, Op.IN, tuple(n for n in range(90) if (n + d) % branches < 2)[:30]),
                orders,
            )
            for d in range(branches)
        )
        expected = [n for n in expected if any(n in part.where.value for part in parts)]  # type: ignore[union-attr]
        assert numbers(executor.run(Merge(parts))) == expected
        assert numbers(executor.run(Merge(parts, limit=5, offset=2))) == expected[2:7]
        assert executor.aggregate([Aggregate(Merge(parts), Function.COUNT)]) == (len(expected),)


def test_count_of_a_merge(executor: Executor, things: Callable[..., None]) -> None:
    """Disjoint branches are counted, not read; limits apply to the sum."""
    things(20)
    parts = tuple(Query("things", where=Compare(NUMBER, Op.IN, pair)) for pair in ((1, 2), (3, 4), (5, 99)))
    for limit, offset, expected in ((None, 0, 5), (None, 2, 3), (3, 0, 3), (3, 4, 1), (1, 9, 0)):
        merge = Merge(parts, overlapping=False, limit=limit, offset=offset)
        assert executor.aggregate([Aggregate(merge, Function.COUNT)]) == (expected,)


def test_aggregates(executor: Executor, things: Callable[..., None], log: list[Rpc]) -> None:
    """Over no rows, sum is the integer 0 and avg is None. Aggregates of one column share a call."""
    query = Query("things")
    aggregates = [
        Aggregate(query, Function.COUNT),
        Aggregate(query, Function.SUM, NUMBER),
        Aggregate(query, Function.AVG, NUMBER),
    ]
    empty = executor.aggregate(aggregates)
    assert empty == (0, 0, None)
    assert type(empty[1]) is int
    things(5)
    assert executor.aggregate(aggregates) == (5, 10, 2.0)
    assert len(log) == 2
    assert executor.aggregate([Aggregate(Query("things", limit=3, offset=1), Function.COUNT)]) == (3,)


def test_nearest(executor: Executor, things: Callable[..., None]) -> None:
    """Nearest first, with the distance if requested, among those that match the filter, after the offset."""
    things(6, vector=lambda n: [float(n), 1.0] if n else None)
    query = Query("things", (NUMBER,), Compare(NUMBER, Op.LT, 5))
    read = Nearest(query, VECTOR, (3.0, 1.0), Measure.EUCLIDEAN, limit=3, distance=True)
    rows = list(executor.run(read))
    assert rows[0] == (3, 0.0)
    assert {row[0] for row in rows[1:]} == {2, 4}
    assert [row[1] for row in rows[1:]] == [1.0, 1.0]
    assert len(list(executor.run(Nearest(query, VECTOR, (3.0, 1.0), Measure.EUCLIDEAN, limit=3, offset=1)))) == 3
    near = Nearest(query, VECTOR, (3.0, 1.0), Measure.EUCLIDEAN, limit=9, threshold=0.5)
    assert list(executor.run(near)) == [(3,)]


def test_duplicates_are_refused_with_their_positions(executor: Executor, things: Callable[..., None]) -> None:
    """An existing id fails the whole commit, and the error has the positions of all writes that were not applied."""
    things(3)
    with pytest.raises(IntegrityError) as caught:
        executor.commit([create(7), create(1)])
    assert caught.value.rows == (0, 1)  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError):
        executor.commit([create(8), create(8)])
    assert sorted(numbers(executor.run(Query("things", (ID,))))) == [0, 1, 2]


def test_isolated_writes_stand_alone(executor: Executor, things: Callable[..., None]) -> None:
    """Each failed write is reported in its outcome, and all others are applied."""
    things(3)
    writes = [
        create(1),
        create(7),
        create(7),
        Update("things", "absent", (NUMBER,), (1,)),
        Update("things", f"{2:019d}", (NUMBER,), (20,)),
        Delete("things", "absent", must_exist=True),
        Delete("things", f"{0:019d}", must_exist=True),
        Update("things", f"{1:019d}", (NUMBER,), (10,), version=(1, 1000)),
    ]
    assert executor.commit(writes, isolate=True) == [
        Outcome.EXISTS, Outcome.APPLIED, Outcome.EXISTS, Outcome.MISSING, Outcome.APPLIED, Outcome.MISSING,
        Outcome.APPLIED, Outcome.STALE,
    ]  # fmt: skip
    assert sorted(executor.run(Query("things", (ID, NUMBER)))) == [(1, 1), (2, 20), (7, 7)]


@pytest.mark.parametrize(
    ("write", "outcome"),
    [
        (create(1), Outcome.EXISTS),
        (Update("things", "absent", (NUMBER,), (1,)), Outcome.MISSING),
        (Update("things", f"{1:019d}", (NUMBER,), (1,), version=(1, 1000)), Outcome.STALE),
        (Delete("things", "absent", must_exist=True), Outcome.MISSING),
        (Delete("things", "absent"), Outcome.APPLIED),
    ],
)
def test_a_single_write_costs_one_call_whatever_its_outcome(
    executor: Executor, things: Callable[..., None], log: list[Rpc], write: Any, outcome: Outcome
) -> None:
    """The outcome of a single write needs no read."""
    things(2)
    assert executor.commit([write], isolate=True) == [outcome]
    assert [rpc.method for rpc in log] == ["Commit"]


def test_updates_touch_only_their_columns(executor: Executor, log: list[Rpc]) -> None:
    """Constants, increments and JSON keys change, other columns do not, with one call each."""
    executor.commit([create(1, "one", meta={"a": 1, "b": 2})])
    id = f"{1:019d}"
    executor.commit([Update("things", id, (WORD,), ("uno",))])
    executor.commit([Update("things", id, increments=((NUMBER, 5),))])
    executor.commit([Update("things", id, (Ref(("meta", "a"), Kind.JSON),), (9,), increments=((NUMBER, -1),))])
    assert list(executor.run(Get("things", (id,), (ID, NUMBER, WORD, META)))) == [(1, 5, "uno", {"a": 9, "b": 2})]
    assert len(log) == 5


def test_put_replaces_a_document(executor: Executor) -> None:
    """Columns that are not given are removed."""
    executor.commit([create(1, "one")])
    executor.commit([Put("things", f"{1:019d}", (NUMBER,), (5,))])
    assert list(executor.run(Query("things", (NUMBER, WORD)))) == [(5, None)]


def test_versions(executor: Executor) -> None:
    """A version is valid until the next write."""
    executor.commit([create(1)])
    id = f"{1:019d}"
    ((version,),) = executor.run(Get("things", (id,), (VERSION,)))
    assert executor.commit([Update("things", id, (WORD,), ("a",), version=version)], isolate=True) == [Outcome.APPLIED]
    assert executor.commit([Update("things", id, (WORD,), ("b",), version=version)], isolate=True) == [Outcome.STALE]
    with pytest.raises(IntegrityError, match="changed after it was read"):
        executor.commit([Delete("things", id, version=version)])


def test_many_writes_are_split_by_size_and_count(executor: Executor, log: list[Rpc]) -> None:
    """Writes beyond one commit's limits are sent in several of equal size, each below the server's limit."""
    executor.commit([create(n, "x" * 100_000) for n in range(100)])
    assert len(log) >= 3
    log.clear()
    executor.commit([create(n) for n in range(1000, 2200)])
    assert [rpc.documents_written for rpc in log] == [300, 300, 300, 300]
    assert executor.aggregate([Aggregate(Query("things"), Function.COUNT)]) == (1300,)


def test_failures_of_several_commits_carry_every_row(executor: Executor) -> None:
    """With one failing row among many, the error's rows agree with the database."""
    writes = [create(n) for n in range(1200)]
    writes[700] = create(700, "x" * 2_000_000)
    with pytest.raises(DataError) as caught:
        executor.commit(writes)
    rows = set(caught.value.rows)  # type: ignore[attr-defined]
    assert 700 in rows
    assert set(numbers(executor.run(Query("things", (ID,))))) == set(range(1200)) - rows


def test_transactions(executor: Executor) -> None:
    """Reads are part of the transaction, writes are one commit, a rollback leaves nothing, and contention is raised."""
    executor.commit([create(1)])
    id = f"{1:019d}"
    transaction = executor.begin()
    ((number,),) = executor.run(Get("things", (id,), (NUMBER,)), transaction=transaction)
    update = Update("things", id, (NUMBER,), (number + 1,))
    executor.commit_whole([update, create(2)], transaction)
    transaction = executor.begin()
    list(executor.run(Query("things", (ID,)), transaction=transaction))
    executor.rollback(transaction)
    again = executor.begin(retry=transaction)
    assert numbers(executor.run(Query("things", (NUMBER,)), transaction=again)) == [2, 2]
    executor.rollback(again)
    with pytest.raises(IntegrityError):
        executor.commit_whole([create(3), create(2)])
    with pytest.raises(Contention):
        executor.commit_whole([create(3), Update("things", f"{9:019d}", (NUMBER,), (1,))])
    assert numbers(executor.run(Query("things", (NUMBER,)))) == [2, 2]


def test_collections_clear_and_ping(executor: Executor) -> None:
    """Root collections are listed while they contain documents."""
    executor.ping()
    assert executor.collections() == []
    executor.commit([create(n) for n in range(3)])
    executor.commit([Put("others", "a", (WORD,), ("x",))])
    assert executor.collections() == ["others", "things"]
    assert executor.clear("things") == 3
    assert executor.collections() == ["others"]


def test_a_copy_has_every_document(executor: Executor) -> None:
    """Unchanged, including columns that are in no model."""
    columns = (NUMBER, Ref(("__odd__",), Kind.JSON), VECTOR)
    executor.commit([Put("things", f"{n:019d}", columns, (n, {"": [[n]]}, [0.5, n])) for n in range(700)])
    executor.commit([Put("things:unique", "a", (WORD,), ("x",))])
    target = replace(executor._client.target, database="copy")
    other = Executor(target, timeout=10, wrap_call=lambda description, send: send(), log=lambda rpc: None)
    assert executor.copy(other) == 701
    assert list(other.run(Query("things", (ID, *columns)))) == list(executor.run(Query("things", (ID, *columns))))
    assert other.collections() == ["things", "things:unique"]


KINDS = {
    Kind.BOOLEAN: True,
    Kind.FLOAT: 1e-320,
    Kind.TEXT: "nul \0 and 😀\uffff",
    Kind.BINARY: bytes(range(256)),
    Kind.DATETIME: dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    Kind.DATE: dt.date(9999, 12, 31),
    Kind.TIME: dt.time(23, 59, 59, 999999),
    Kind.DURATION: dt.timedelta(microseconds=-1),
    Kind.DECIMAL: Decimal("-123456789012345678901234567890.000000001"),
    Kind.UUID: uuid.UUID(int=2**128 - 1),
    Kind.JSON: {
        "": [[[]], {}],
        "__x__": {"é.`": None},
        "__": 2,
        "___": 3,
        "big": 2**70,
        "deep": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]],
    },
    Kind.VECTOR: [0.1] * 2048,
    Kind.INTEGER: -(2**63),
    Kind.ANY: "any",
}


def test_every_kind_survives_the_server(executor: Executor) -> None:
    """Firestore accepts and returns everything that the codec writes."""
    refs = tuple(Ref((f"__{kind}__",), kind) for kind in KINDS)
    executor.commit(
        [Create("kinds", "a", refs, tuple(KINDS.values())), Create("kinds", "b", refs, (None,) * len(refs))]
    )
    read, empty = executor.run(Query("kinds", refs))
    assert dict(zip(KINDS, read, strict=True)) == KINDS
    assert set(empty) == {None}


ODD = ["é", "a b", "\n", "\0", "a=b&c", "%2F", "😀", "a\x7f"]
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: not document_ids.document_id_problem(text)
)


def test_any_id_can_be_written_read_and_deleted(executor: Executor) -> None:
    """Ids of any characters, one or several at once, including characters that are invalid in headers."""

    @settings(max_examples=60)
    @given(
        st.sets(IDS | st.sampled_from(["é", "a b", "\n", "\0", "a=b&c", "%2F", "😀", "a\x7f"]), min_size=2, max_size=4)
    )
    def check(ids: set[str]) -> None:
        executor.commit([Put("ids", id, (WORD,), (id,)) for id in ids])
        for id in ids:
            assert list(executor.run(Get("ids", (id,), (WORD, DOCUMENT_ID)))) == [(id, id)]
        assert [word for (word,) in executor.run(Get("ids", tuple(ids), (WORD,)))] == list(ids)
        where = Compare(DOCUMENT_ID, Op.IN, tuple(ids))
        assert {word for (word,) in executor.run(Query("ids", (WORD,), where))} == ids
        executor.commit([Delete("ids", id, must_exist=True) for id in ids])

    check()


def test_an_unavailable_server_is_an_operational_error_in_time(log: list[Rpc]) -> None:
    """Reads and writes fail at the deadline, after more than one attempt."""
    target = channel.target({"HOST": "127.0.0.1:1", "PROJECT": "away"})
    executor = Executor(target, timeout=0.6, wrap_call=lambda description, send: send(), log=log.append)
    for call in (
        lambda: list(executor.run(Query("things"))),
        lambda: list(executor.run(Get("things", ("a",)))),
        lambda: executor.commit([create(1)]),
        executor.ping,
    ):
        started = dt.datetime.now(dt.UTC)
        with pytest.raises(OperationalError):
            call()
        assert (dt.datetime.now(dt.UTC) - started).total_seconds() < 1.5
    assert len(log) > 6
    assert {rpc.error for rpc in log} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
