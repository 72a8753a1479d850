"""`atomic()` on the emulator: what it takes back, what it sees of its own, what it costs, and who gets in its way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Max, Sum
from django.db.models.functions import Upper
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.errors import Contention, TransactionTooLarge, TransactionTooLong
from memory.backends.firestore.query.plan import Delete, Get, Put, Update
from memory.backends.firestore.transaction import run_in_transaction
from memory.backends.firestore.transactions import unit_of_work
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref
from tests.engine.app.models import Author, Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

# ruff: noqa: PT012 - a block that fails is what is tested


@pytest.fixture
def notes() -> None:
    Note.objects.bulk_create(Note(id=f"n{i}", text=f"t{i}", stars=i, reads=i) for i in range(6))


READS = Ref(("reads",), Kind.INTEGER)


class LeavingError(Exception):
    """Leaves a block."""


def test_a_block_that_fails_leaves_nothing(notes: None) -> None:
    """Created, changed and deleted rows are as they were."""
    before = list(Note.objects.order_by("pk").values())
    with pytest.raises(LeavingError), transaction.atomic():
        Note.objects.create(id="new")
        Note.objects.filter(pk="n1").update(text="x")
        Note.objects.filter(stars__gte=4).update(reads=F("reads") + 1)
        Note.objects.filter(pk="n2").delete()
        assert Note.objects.count() == 6
        raise LeavingError
    assert list(Note.objects.order_by("pk").values()) == before


def test_a_block_sees_its_own_writes(notes: None) -> None:
    """By key, by filter, in aggregates and joins; nobody else does before it commits."""
    with transaction.atomic():
        author = Author.objects.create(name="x")
        Note.objects.create(id="new", stars=4, author=author)
        Note.objects.filter(pk="n4").update(stars=0, reads=F("reads") + 10)
        Note.objects.filter(pk="n0").delete()
        assert Note.objects.get(pk="new").author == author
        assert Note.objects.get(pk="n4").reads == 14
        assert not Note.objects.filter(pk="n0").exists()
        assert list(Note.objects.filter(stars=4).values_list("pk", flat=True)) == ["new"]
        assert list(Note.objects.filter(stars__lt=2).order_by("-pk").values_list("pk", flat=True)) == ["n4", "n1"]
        assert Note.objects.count() == 6
        assert Note.objects.get(author__name="x").pk == "new"
        assert "this transaction wrote" in Note.objects.filter(stars=4).explain()
        other = connection.copy()
        with other.cursor() as cursor:
            assert "engine_author" not in cursor.collections()
        other.close()
    assert Note.objects.get(pk="n4").reads == 14
    assert set(Note.objects.values_list("pk", flat=True)) == {"n1", "n2", "n3", "n4", "n5", "new"}


def test_savepoints_are_taken_back_alone(notes: None) -> None:
    """An inner block that fails takes its own writes with it, and no others."""
    with transaction.atomic():
        Note.objects.filter(pk="n1").update(text="outer")
        with pytest.raises(LeavingError), transaction.atomic():
            Note.objects.filter(pk="n1").update(text="inner")
            Note.objects.create(id="inner")
            raise LeavingError
        assert Note.objects.get(pk="n1").text == "outer"
        with transaction.atomic():
            Note.objects.filter(pk="n2").update(text="kept")
    assert [Note.objects.get(pk=pk).text for pk in ("n1", "n2")] == ["outer", "kept"]
    assert not Note.objects.filter(pk="inner").exists()


def test_a_key_that_is_taken_is_told_by_the_inner_block(notes: None) -> None:
    """So that `get_or_create` can go on; without an inner block the commit tells."""
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="n1")
        Note.objects.create(id="fresh")
    assert Note.objects.filter(pk="fresh").exists()
    with pytest.raises(IntegrityError), transaction.atomic():
        Note.objects.create(id="lost")
        Note.objects.create(id="n1")
    assert not Note.objects.filter(pk="lost").exists()


def test_a_taken_key_that_a_query_met_is_a_mistake_too(notes: None) -> None:
    """The row that holds it was seen by a query after the statement: no reason to run the block again."""
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: engine_note\.id"), transaction.atomic():
        Note.objects.create(id="n1")
        assert Note.objects.filter(stars__gte=0).count() == 5
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="n1", text="second")
            assert Note.objects.filter(text="second").count() == 1
        assert Note.objects.get(pk="n1").text == "t1"


def test_a_statement_that_fails_breaks_the_block(notes: None) -> None:
    """As in SQL, nothing more is done in it and nothing is committed."""
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        Note.objects.create(id="new")
        with pytest.raises(IntegrityError):
            Note.objects.create(id="new")
        Note.objects.count()
    assert not Note.objects.filter(pk="new").exists()


@pytest.mark.parametrize(
    ("block", "methods"),
    [
        (lambda: Note.objects.create(id="a"), ["Commit"]),
        (lambda: Note.objects.bulk_create([Note(id="a"), Note(id="b")]), ["Commit"]),
        (lambda: [Note.objects.create(id=id) for id in "abc"], ["Commit"]),
        (lambda: Note.objects.filter(pk="n1").update(text="x"), ["BatchGetDocuments", "Commit"]),
        (lambda: Note.objects.filter(pk="nope").update(text="x"), ["BatchGetDocuments"]),
        (lambda: Note.objects.get(pk="n1"), ["BeginTransaction", "GetDocument", "Rollback"]),
        (lambda: Note.objects.get(pk="n1").save(), ["BeginTransaction", "GetDocument", "Commit"]),
        (lambda: Note.objects.filter(stars=2).update(text="x"), ["BeginTransaction", "RunQuery", "Commit"]),
        (lambda: Note.objects.filter(stars=2).delete(), ["BeginTransaction", "RunQuery", "Commit"]),
        (lambda: None, []),
    ],
)
def test_what_a_block_costs(
    block: Callable[[], Any], methods: list[str], notes: None, calls: Callable[[], Any]
) -> None:
    """One commit; the server's transaction is begun by the first read, and let go if nothing was written."""
    with calls() as log, transaction.atomic():
        block()
    assert [call["method"] for call in log] == methods


def test_a_transaction_is_run_again(notes: None) -> None:
    """Others who hold the row make it fail; it is tried again, and the failed attempt leaves nothing."""
    tries = []

    @run_in_transaction()
    def count() -> int:
        note = Note.objects.get(pk="n1")
        if not tries:
            tries.append(1)
            raise_contention()
        note.reads += 1
        note.save()
        return note.reads

    assert count() == 2
    assert Note.objects.get(pk="n1").reads == 2


def raise_contention() -> None:
    """Two transactions that read a row and then write it: the emulator aborts the one that waits."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            list(cursor._executor.run(by_id("n1"), transaction=other.unit._server_transaction()))
        Note.objects.filter(pk="n1").update(reads=100)
        transaction.get_connection()._commit()
    finally:
        other.rollback()
        other.close()


def by_id(id: str) -> Get:
    """A read of whether a note is stored."""
    return Get("engine_note", (id,), (DOCUMENT_ID,))


@pytest.fixture
def other() -> Iterator[Any]:
    """A connection of somebody else's."""
    made = connection.copy()
    yield made
    made.close()


def write_elsewhere(other: Any, id: str, number: int) -> float:
    """Another connection writes a row; the seconds that it took."""
    started = time.monotonic()
    with other.cursor() as cursor:
        cursor.commit([Update("engine_note", id, (READS,), (number,))])
    return time.monotonic() - started


def leave_by_exception() -> None:
    with suppress(LeavingError), transaction.atomic():
        Note.objects.get(pk="n1")
        raise LeavingError


def leave_by_closing() -> None:
    with transaction.atomic():
        Note.objects.get(pk="n1")
        connection.close()


def only_read() -> None:
    with transaction.atomic():
        Note.objects.get(pk="n1")


def roll_back() -> None:
    with transaction.atomic():
        Note.objects.filter(pk="n1").update(text="x")
        Note.objects.count()
        transaction.set_rollback(True)


@pytest.mark.parametrize("block", [leave_by_exception, leave_by_closing, only_read, roll_back])
def test_no_lock_is_left_behind(block: Callable[[], None], notes: None, other: Any) -> None:
    """However a block ends, others write what it read at once."""
    block()
    assert write_elsewhere(other, "n1", 50) < 1.5  # a lock would make them wait for 2 s and more
    assert Note.objects.get(pk="n1").reads == 50


def test_locks_that_cannot_be_let_go_are_told(notes: None, caplog: pytest.LogCaptureFixture) -> None:
    """The block has ended well all the same; the log says that Firestore has to end it."""
    connection.ensure_connection()
    executor = connection.connection
    with transaction.atomic():
        Note.objects.get(pk="n1")
        locked, connection.unit._id = connection.unit.server_id, b"no such transaction"
    assert "locks stay" in caplog.text
    executor.rollback(locked)


def test_contention_is_told_by_its_class(notes: None, other: Any) -> None:
    """It may be run again; what comes after it in the block does not reach the database, nor does a savepoint help."""
    with pytest.raises(Contention), transaction.atomic():
        Note.objects.create(id="new")
        Note.objects.get(pk="n1")
        end_on_the_server()
        with pytest.raises(Contention), transaction.atomic():
            Note.objects.get(pk="n2")
        with pytest.raises(Contention, match="was aborted, nothing was applied"):
            Note.objects.get(pk="n1")
    assert not Note.objects.filter(pk="new").exists()


def test_a_transaction_that_was_idle_for_too_long_is_contention(notes: None) -> None:
    """Its commit says so, not that a value was wrong."""
    with pytest.raises(Contention, match="idle for 61 s"), transaction.atomic():
        note = Note.objects.get(pk="n1")
        note.save()
        end_on_the_server()


def end_on_the_server() -> None:
    """What a minute of idleness does to the transaction."""
    connection.unit._executor.rollback(connection.unit.server_id)
    connection.unit._last -= 61


def test_a_transaction_that_the_server_forgot_is_contention(notes: None) -> None:
    """A server that was started again, in the middle of a block: nobody's value is wrong, and it may be run again."""

    def forget() -> None:
        connection.connection.rollback(connection.unit.server_id)

    for go_on in (lambda: Note.objects.get(pk="n2"), lambda: Note.objects.filter(pk="n1").update(text="x")):
        with pytest.raises(Contention, match="nothing was applied"), transaction.atomic():
            Note.objects.get(pk="n1")
            forget()
            go_on()
    assert Note.objects.get(pk="n1").text == "t1"


def test_a_key_that_was_free_when_looked_up_is_contention(notes: None, other: Any) -> None:
    """Nobody's mistake: run again, the block is told at the right place; a key that nobody looked up is a mistake."""

    def create_elsewhere() -> None:
        with other.cursor() as cursor:
            cursor.commit([Put("engine_note", "raced", (READS,), (5,))])

    def race() -> bool:
        with transaction.atomic():
            Note.objects.create(id="raced")
        create_elsewhere()
        return True

    with pytest.raises(Contention, match="unused when the transaction read it"), transaction.atomic():
        race()
    with pytest.raises(IntegrityError, match="'raced'"):
        run_in_transaction(race)
    with pytest.raises(IntegrityError, match="'n1'"), transaction.atomic():
        Note.objects.create(id="n1")
    Note.objects.filter(pk="raced").delete()
    with transaction.atomic():
        Note.objects.bulk_create([Note(id="raced"), Note(id="mine")], ignore_conflicts=True)
        create_elsewhere()
    assert list(Note.objects.filter(pk__in=["mine", "raced"]).order_by("pk").values_list("reads", flat=True)) == [0, 5]


def test_a_row_that_vanished_after_it_was_counted_is_contention(notes: None, other: Any) -> None:
    """What was told of it is demanded of the commit."""
    with pytest.raises(Contention), transaction.atomic():
        assert Note.objects.filter(pk="n1").update(text="x") == 1
        with other.cursor() as cursor:
            cursor.commit([Delete("engine_note", "n1")])


def test_what_is_too_large_for_a_commit_is_refused(notes: None) -> None:
    """Before it is sent, with the numbers; what Django writes in bulk by itself is cut instead."""
    large = [Note(id=f"large{i}", text="x" * 900_000) for i in range(6)]
    with pytest.raises(TransactionTooLarge, match=r"5,4\d\d,\d\d\d bytes.* is 4,194,304"), transaction.atomic():
        Note.objects.bulk_create(large)
    assert Note.objects.count() == 6
    Note.objects.bulk_create(large)
    assert Note.objects.count() == 12


def test_what_took_too_long_is_refused(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is sent; a block that only writes has no limit."""
    monkeypatch.setattr(unit_of_work, "MAX_SECONDS", -1.0)
    with pytest.raises(TransactionTooLong, match=r"Firestore's limit is \d+ s"), transaction.atomic():
        Note.objects.filter(stars=1).update(text="x")
    with transaction.atomic():
        Note.objects.create(id="new")
    assert set(Note.objects.filter(text="x")) == set()


def test_without_autocommit_the_caller_commits(notes: None) -> None:
    """As with any engine: nothing is stored before, and what was not is taken back."""
    transaction.set_autocommit(False)
    try:
        Note.objects.filter(pk="n1").update(text="kept")
        transaction.commit()
        Note.objects.filter(pk="n1").update(text="lost")
        assert Note.objects.get(pk="n1").text == "lost"
        transaction.rollback()
        assert Note.objects.get(pk="n1").text == "kept"
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert Note.objects.get(pk="n1").text == "kept"


def test_hooks_run_after_the_commit(notes: None) -> None:
    """And see what it did; those of what was taken back do not run."""
    seen: list[Any] = []
    with transaction.atomic():
        Note.objects.create(id="new")
        transaction.on_commit(lambda: seen.append(Note.objects.filter(pk="new").exists()))
        with suppress(LeavingError), transaction.atomic():
            transaction.on_commit(lambda: seen.append("inner"))
            raise LeavingError
    assert seen == [True]


def test_an_iterator_goes_on_while_its_rows_are_written(notes: None) -> None:
    """What a loop over a large table does."""
    with transaction.atomic():
        for note in Note.objects.order_by("pk").iterator(chunk_size=2):
            note.text = "seen"
            note.save()
    assert set(Note.objects.values_list("text", flat=True)) == {"seen"}


def test_run_in_transaction_gives_up(notes: None) -> None:
    """After so many attempts, with what the last one met."""
    tries = []

    def never() -> None:
        tries.append(1)
        raise Contention("again")

    with pytest.raises(Contention):
        run_in_transaction(never, attempts=2)
    assert len(tries) == 2
    with pytest.raises(ValueError, match="at least 1"):
        run_in_transaction(never, attempts=0)


def test_what_fails_after_the_commit_is_not_run_again(notes: None) -> None:
    """A hook's contention is not the transaction's, which has been committed."""

    def hook() -> None:
        raise Contention("in a hook")

    @run_in_transaction()
    def add() -> None:
        Note.objects.filter(pk="n1").update(reads=F("reads") + 1)
        transaction.on_commit(hook)

    with pytest.raises(Contention, match="in a hook"):
        add()
    assert Note.objects.get(pk="n1").reads == 2


def test_run_in_transaction_refuses_a_part_of_another(notes: None) -> None:
    """It could not be run again alone."""
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError, match="outermost"):
        run_in_transaction(lambda: None)


def test_an_attempt_names_the_first_to_the_server(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the oldest gets its turn."""
    connection.ensure_connection()
    begin, named, ids = connection.connection.begin, [], []

    def watched(*, retry: bytes | None = None) -> bytes:
        named.append(retry)
        ids.append(begin(retry=retry))
        return bytes(ids[-1])

    monkeypatch.setattr(connection.connection, "begin", watched)

    def thrice() -> None:
        Note.objects.count()
        if len(ids) < 3:
            raise Contention("again")

    run_in_transaction(thrice)
    Note.objects.count()
    only_read()
    assert named == [None, ids[0], ids[0], None]


def test_run_in_transaction_of_coroutines(notes: None) -> None:
    """Awaited one after the other, as function and as decorator; each is rolled back and run again as a whole."""
    tries: list[str] = []

    async def add(amount: int) -> int:
        note = await Note.objects.aget(pk="n1")
        note.reads += amount
        await note.asave()
        tries.append("try")
        if len(tries) == 1:
            raise Contention("again")
        return note.reads

    async def twenty() -> int:
        return await add(20)

    async def main() -> int:
        return int(await run_in_transaction(twenty))

    assert async_to_sync(run_in_transaction(attempts=3)(add))(10) == 11
    assert async_to_sync(main)() == 31
    assert Note.objects.get(pk="n1").reads == 31
    assert len(tries) == 3


class TestATest(TestCase):
    """Django's TestCase: one transaction that is never committed."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.note = Note.objects.create(id="class", reads=1)

    def calls(self, run: Callable[[], Any]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            run()
        return [query["method"] for query in captured.captured_queries]

    def test_nothing_reaches_the_server(self) -> None:
        """No row, and no transaction with its locks and limits."""
        assert "BeginTransaction" not in self.calls(lambda: Note.objects.create(id="mine").save())
        assert "BeginTransaction" not in self.calls(lambda: list(Note.objects.filter(reads=1)))
        other = connection.copy()
        with other.cursor() as cursor:
            rows = cursor._executor.run(by_id("mine"))
            assert list(rows) == []
        other.close()

    def test_each_test_begins_with_the_data_of_the_class(self) -> None:
        """Whatever the others did to it."""
        assert Note.objects.get().reads == 1
        self.note.delete()
        Note.objects.create(id="mine")
        assert Note.objects.get().pk == "mine"

    def test_and_again(self) -> None:
        """The same, in the other order."""
        self.test_each_test_begins_with_the_data_of_the_class()

    def test_a_key_that_is_taken_is_told_at_once(self) -> None:
        """There is no commit that could tell; the block around it can go on."""
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="class")
        assert Note.objects.count() == 1

    def test_calls_are_counted_as_where_rows_are_stored(self) -> None:
        """Reads and writes of the test's own rows too, though they need none."""
        for statement in (
            lambda: Note.objects.get(pk="class"),
            lambda: Note.objects.filter(pk="class").update(reads=2),
            lambda: Note.objects.create(id="mine"),
            lambda: Note(pk="mine").delete(),
            lambda: list(Note.objects.filter(reads__gt=0)),
        ):
            assert len(self.calls(statement)) == 1

    def test_hooks_can_be_captured(self) -> None:
        """As on any engine."""
        with self.captureOnCommitCallbacks(execute=True) as hooks:
            run_in_transaction(lambda: transaction.on_commit(lambda: None))
        assert len(hooks) == 1


# The same statements in the same blocks, on SQLite and here.


class Blocks:
    """Random statements in random blocks, on one engine; `seen` is all that they told."""

    def __init__(self, using: str, seed: int) -> None:
        self.using, self.random, self.seen = using, random.Random(seed), []  # noqa: S311
        self.notes = Note.objects.using(using)

    def run(self) -> list[Any]:
        for _ in range(4):
            self.block(0)
            self.look()
        return self.seen

    def block(self, depth: int) -> None:
        fails = self.random.random() < 0.3
        with suppress(LeavingError), transaction.atomic(using=self.using):
            for _ in range(self.random.randint(1, 4)):
                if depth < 2 and self.random.random() < 0.3:
                    self.block(depth + 1)
                else:
                    self.statement()
            if fails:
                raise LeavingError

    def statement(self) -> None:
        id, number = f"n{self.random.randrange(4)}", self.random.randrange(4)
        rows = self.notes.filter(reads__gte=number)
        kind = self.random.randrange(9)
        if kind == 0:
            self.seen.append(self.notes.get_or_create(id=id, defaults={"reads": number, "stars": number})[1])
        elif kind == 1:
            self.seen.append(self.notes.filter(pk=id).update(reads=number, data={"n": [number]}))
        elif kind == 2:
            self.seen.append(rows.update(reads=F("reads") + number))
        elif kind == 3:
            self.seen.append(rows.update(stars=F("reads") * 2 - F("stars"), text=Upper("owner")))
        elif kind == 4:
            self.seen.append(self.notes.filter(pk=id).delete()[0])
        elif kind == 5:
            self.seen.append(rows.filter(reads__lte=number + 1).delete()[0])
        elif kind == 6:
            self.seen.append(Note(id=id, reads=number, text="saved").save(using=self.using))
        elif kind == 7:
            made = [Note(id=f"n{i}", reads=i) for i in range(number)]
            self.notes.bulk_create(made, ignore_conflicts=True)
        else:
            self.look()

    def look(self) -> None:
        self.seen.append(list(self.notes.order_by("pk").values_list("pk", "reads", "stars", "text", "data")))
        self.seen.append(self.notes.aggregate(Sum("reads"), Count("stars"), Max("reads")))
        self.seen.append(self.notes.filter(pk="n1").values_list("reads").first())
        self.seen.append(self.notes.filter(data__n__0=1).exists())


@pytest.mark.parametrize("seed", range(12))
def test_blocks_do_what_they_do_on_sqlite(seed: int) -> None:
    """Row counts, what is seen inside, what savepoints take back, and what is left: statement by statement."""
    assert Blocks("default", seed).run() == Blocks("sqlite", seed).run()
