"""`atomic()` on the emulator: rollback, visibility of its own writes, cost, and contention."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Max, Sum
from django.db.models.functions import Upper
from django.test import TestCase

from memory.backends.firestore.errors import Contention, TransactionTooLarge, TransactionTooLong
from memory.backends.firestore.query.plan import Delete, Get, Put, Update
from memory.backends.firestore.testing import CaptureRPCsContext
from memory.backends.firestore.transaction import run_in_transaction
from memory.backends.firestore.transactions import unit_of_work
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref
from tests.engine.app.models import Author, Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

# ruff: noqa: PT012 - the tests are about blocks that fail


@pytest.fixture
def notes() -> None:
    Note.objects.bulk_create(Note(id=f"n{i}", text=f"t{i}", stars=i, reads=i) for i in range(6))


READS = Ref(("reads",), Kind.INTEGER)


class LeavingError(Exception):
    """Leaves a block."""


def test_a_block_that_fails_leaves_nothing(notes: None) -> None:
    """Created, changed and deleted rows are rolled back."""
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
    """By key, by filter, in aggregates and joins. Others see them after the commit."""
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


def test_savepoints_are_rolled_back_alone(notes: None) -> None:
    """An inner block that fails rolls back its own writes only."""
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


def test_an_inner_block_raises_for_an_existing_key(notes: None) -> None:
    """So that `get_or_create()` works. Without an inner block the commit raises."""
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="n1")
        Note.objects.create(id="fresh")
    assert Note.objects.filter(pk="fresh").exists()
    with pytest.raises(IntegrityError), transaction.atomic():
        Note.objects.create(id="lost")
        Note.objects.create(id="n1")
    assert not Note.objects.filter(pk="lost").exists()


def test_an_existing_key_that_a_query_read_is_an_integrity_error(notes: None) -> None:
    """A query read the row after the statement that creates it, so a retry would not help."""
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: engine_note\.id"), transaction.atomic():
        Note.objects.create(id="n1")
        assert len(Note.objects.filter(stars__gte=0)) == 5  # not a count, which Firestore answers
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="n1", text="second")
            assert Note.objects.filter(text="second").count() == 1
        assert Note.objects.get(pk="n1").text == "t1"


def test_a_statement_that_fails_breaks_the_block(notes: None) -> None:
    """As in SQL, no further statement is executed in it and nothing is committed."""
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
    """One commit. The first read begins the server transaction, which is rolled back if nothing was written."""
    with calls() as log, transaction.atomic():
        block()
    assert [call["method"] for call in log] == methods


def test_a_transaction_is_retried(notes: None) -> None:
    """It fails if others hold a lock on the row, and is retried. The failed attempt leaves nothing."""
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
    """Another client's connection."""
    made = connection.copy()
    yield made
    made.close()


def write_elsewhere(other: Any, id: str, number: int) -> float:
    """Writes a row on another connection. Returns the duration in seconds."""
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
    """However a block ends, others can write the rows that it read at once."""

    def seconds(number: int) -> float:
        block()
        return write_elsewhere(other, "n1", number)

    # A lock would make each of them wait for 2 s and more; other work on the machine delays few.
    assert any(seconds(number) < 1.5 for number in (50, 51, 52))
    assert Note.objects.get(pk="n1").reads in (50, 51, 52)


def test_a_failed_rollback_is_logged(notes: None, caplog: pytest.LogCaptureFixture) -> None:
    """The block still succeeds; a warning is logged that the locks are kept until they time out."""
    connection.ensure_connection()
    executor = connection.connection
    with transaction.atomic():
        Note.objects.get(pk="n1")
        locked, connection.unit._id = connection.unit.server_id, b"no such transaction"
    assert "keeps the transaction's locks" in caplog.text
    executor.rollback(locked)


def test_contention_has_its_own_class(notes: None, other: Any) -> None:
    """Later statements of the block do not reach the database, and a savepoint does not help."""
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
    """Its commit raises Contention, not DataError."""
    with pytest.raises(Contention, match="idle for 61 s"), transaction.atomic():
        note = Note.objects.get(pk="n1")
        note.save()
        end_on_the_server()


def end_on_the_server() -> None:
    """Ends the transaction as after a minute without calls."""
    connection.unit._executor.rollback(connection.unit.server_id)
    connection.unit._last -= 61


def test_a_transaction_that_the_server_forgot_is_contention(notes: None) -> None:
    """A server restart during a block is not a DataError: the transaction can be retried."""

    def forget() -> None:
        connection.connection.rollback(connection.unit.server_id)

    for go_on in (lambda: Note.objects.get(pk="n2"), lambda: Note.objects.filter(pk="n1").update(text="x")):
        with pytest.raises(Contention, match="nothing was applied"), transaction.atomic():
            Note.objects.get(pk="n1")
            forget()
            go_on()
    assert Note.objects.get(pk="n1").text == "t1"


def test_a_key_that_was_unused_when_read_is_contention(notes: None, other: Any) -> None:
    """A retry raises IntegrityError at the right statement. A key that was not read is an IntegrityError at once."""

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
    """The commit requires that a row that was counted still exists."""
    with pytest.raises(Contention), transaction.atomic():
        assert Note.objects.filter(pk="n1").update(text="x") == 1
        with other.cursor() as cursor:
            cursor.commit([Delete("engine_note", "n1")])


def test_a_transaction_that_is_too_large_is_refused(notes: None) -> None:
    """Before it is sent, with the sizes. A bulk statement of Django's own is split instead."""
    large = [Note(id=f"large{i}", text="x" * 900_000) for i in range(6)]
    with pytest.raises(TransactionTooLarge, match=r"5,4\d\d,\d\d\d bytes.* is 4,194,304"), transaction.atomic():
        Note.objects.bulk_create(large)
    assert Note.objects.count() == 6
    Note.objects.bulk_create(large)
    assert Note.objects.count() == 12


def test_a_transaction_that_took_too_long_is_refused(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is sent. A block that only writes has no time limit."""
    monkeypatch.setattr(unit_of_work, "MAX_SECONDS", -1.0)
    with pytest.raises(TransactionTooLong, match=r"Firestore's limit is -?\d+ s"), transaction.atomic():
        Note.objects.filter(stars=1).update(text="x")
    with transaction.atomic():
        Note.objects.create(id="new")
    assert set(Note.objects.filter(text="x")) == set()


def test_without_autocommit_the_caller_commits(notes: None) -> None:
    """As on other engines: nothing is stored before the commit, and a rollback discards the rest."""
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
    """They see its writes. Hooks of a rolled back block do not run."""
    seen: list[Any] = []
    with transaction.atomic():
        Note.objects.create(id="new")
        transaction.on_commit(lambda: seen.append(Note.objects.filter(pk="new").exists()))
        with suppress(LeavingError), transaction.atomic():
            transaction.on_commit(lambda: seen.append("inner"))
            raise LeavingError
    assert seen == [True]


def test_rows_can_be_written_during_iteration(notes: None) -> None:
    """As in a loop over a large table."""
    with transaction.atomic():
        for note in Note.objects.order_by("pk").iterator(chunk_size=2):
            note.text = "seen"
            note.save()
    assert set(Note.objects.values_list("text", flat=True)) == {"seen"}


def test_run_in_transaction_gives_up(notes: None) -> None:
    """After `attempts` attempts, with the error of the last one."""
    tries = []

    def never() -> None:
        tries.append(1)
        raise Contention("again")

    with pytest.raises(Contention):
        run_in_transaction(never, attempts=2)
    assert len(tries) == 2
    with pytest.raises(ValueError, match="at least 1"):
        run_in_transaction(never, attempts=0)


def test_a_failure_after_the_commit_is_not_retried(notes: None) -> None:
    """Contention in a hook does not affect the transaction, which is committed."""

    def hook() -> None:
        raise Contention("in a hook")

    @run_in_transaction()
    def add() -> None:
        Note.objects.filter(pk="n1").update(reads=F("reads") + 1)
        transaction.on_commit(hook)

    with pytest.raises(Contention, match="in a hook"):
        add()
    assert Note.objects.get(pk="n1").reads == 2


def test_run_in_transaction_refuses_to_run_in_another(notes: None) -> None:
    """It could not be retried on its own."""
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError, match="outermost"):
        run_in_transaction(lambda: None)


def test_a_retry_passes_the_id_of_the_first_attempt(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the server prefers the oldest transaction."""
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
    """As a function and as a decorator. Each attempt is rolled back and retried as a whole."""
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
        with CaptureRPCsContext(connection) as captured:
            run()
        return [call["method"] for call in captured]

    def test_nothing_reaches_the_server(self) -> None:
        """No row, and no server transaction with its locks and time limits."""
        assert "BeginTransaction" not in self.calls(lambda: Note.objects.create(id="mine").save())
        assert "BeginTransaction" not in self.calls(lambda: list(Note.objects.filter(reads=1)))
        other = connection.copy()
        with other.cursor() as cursor:
            rows = cursor._executor.run(by_id("mine"))
            assert list(rows) == []
        other.close()

    def test_each_test_begins_with_the_data_of_the_class(self) -> None:
        """The row is unchanged, whatever other tests did to it."""
        assert Note.objects.get().reads == 1
        self.note.delete()
        Note.objects.create(id="mine")
        assert Note.objects.get().pk == "mine"

    def test_another_test_begins_with_the_data_of_the_class(self) -> None:
        """Whichever of the two runs first."""
        self.test_each_test_begins_with_the_data_of_the_class()

    def test_a_duplicate_key_is_refused_at_once(self) -> None:
        """There is no commit that could raise, and the outer block can continue."""
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(id="class")
        assert Note.objects.count() == 1

    def test_statements_are_counted_as_where_rows_are_stored(self) -> None:
        """Also reads and writes of the test's own rows, which need no RPC."""
        for statement in (
            lambda: Note.objects.get(pk="class"),
            lambda: Note.objects.filter(pk="class").update(reads=2),
            lambda: Note.objects.create(id="mine"),
            lambda: Note(pk="mine").delete(),
            lambda: list(Note.objects.filter(reads__gt=0)),
        ):
            with self.assertNumQueries(1):
                statement()

    def test_hooks_can_be_captured(self) -> None:
        """As on other engines."""
        with self.captureOnCommitCallbacks(execute=True) as hooks:
            run_in_transaction(lambda: transaction.on_commit(lambda: None))
        assert len(hooks) == 1


# The same statements in the same blocks, on SQLite and on Firestore.


class Blocks:
    """Random statements in random blocks, on one engine. `seen` collects all their results."""

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
    """Row counts, reads inside of blocks, rollbacks to savepoints, and the final rows, statement by statement."""
    assert Blocks("default", seed).run() == Blocks("sqlite", seed).run()


def test_a_close_inside_a_block_is_deferred(notes: None) -> None:
    """To the end of the outermost block, whose writes are committed; as on an in-memory SQLite database."""
    closed = []
    with transaction.atomic():
        Note.objects.filter(pk="n1").update(text="outer")
        with transaction.atomic():
            connection.close()
            assert Note.objects.get(pk="n1").text == "outer"
            Note.objects.create(id="new")
        transaction.on_commit(lambda: closed.append(connection.connection is None))
    assert closed == [False]
    assert connection.connection is None
    assert Note.objects.get(pk="n1").text == "outer"
    assert Note.objects.filter(pk="new").exists()
    with pytest.raises(LeavingError), transaction.atomic():
        Note.objects.create(id="lost")
        connection.close()
        raise LeavingError
    assert connection.connection is None
    assert not Note.objects.filter(pk="lost").exists()
    connection.close()
    assert connection.connection is None


def test_one_of_several_increments_always_succeeds(notes: None) -> None:
    """Ten threads lock a row, read it and save it at once. No increment is lost, and the others raise `Contention`."""
    threads = 10
    barrier = threading.Barrier(threads)

    def increment(_: int) -> bool:
        try:
            barrier.wait(30)
            with transaction.atomic():
                note = Note.objects.select_for_update().get(pk="n0")
                note.reads += 1
                note.save()
        except Contention:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(2):
            before = Note.objects.get(pk="n0").reads
            succeeded = sum(pool.map(increment, range(threads)))
            assert succeeded >= 1
            assert Note.objects.get(pk="n0").reads == before + succeeded


def test_a_contended_commit_checks_all_that_was_read(notes: None) -> None:
    """A transaction that read more than it writes has no second way to commit, so no write skew is possible."""
    barrier = threading.Barrier(2)

    def zero_if_other_is_positive(pks: tuple[str, str]) -> bool:
        own, other = pks
        try:
            with transaction.atomic():
                rows = [Note.objects.get(pk=pk) for pk in (own, other)]
                barrier.wait(30)
                if all(row.reads > 0 for row in rows):
                    rows[0].reads = 0
                    rows[0].save()
        except Contention:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(zero_if_other_is_positive, [("n1", "n2"), ("n2", "n1")]))
    assert sum(note.reads > 0 for note in Note.objects.filter(pk__in=["n1", "n2"])) >= 1
