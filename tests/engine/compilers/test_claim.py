"""`select_for_update(skip_locked=True)`: rows that no other block has claimed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import NotSupportedError, connection, transaction
from django.db.models import Count
from django.test import TestCase

from memory.backends import clock
from memory.backends.firestore.errors import Contention
from memory.backends.firestore.query.plan import Query
from memory.backends.firestore.testing import CaptureRPCsContext
from memory.backends.firestore.transactions import leases
from memory.backends.firestore.values.marker_collections import lease_collection
from memory.backends.firestore.values.types import DOCUMENT_ID
from tests.engine.app.models import Author, Hall, Note, Rectangle

pytestmark = pytest.mark.django_db(transaction=True)

# ruff: noqa: PT012 - the tests are about blocks that fail


@pytest.fixture
def notes() -> None:
    Note.objects.bulk_create(Note(id=f"n{i}", text="new", stars=i) for i in range(6))


def new_notes() -> Any:
    return Note.objects.select_for_update(skip_locked=True).filter(text="new").order_by("stars")


def stored_leases() -> list[str]:
    with connection.cursor() as cursor:
        return [row[0] for row in cursor.run(Query(lease_collection("engine_note"), (DOCUMENT_ID,)))]


@contextmanager
def claim_elsewhere(count: int) -> Iterator[list[str]]:
    """The keys of rows that a block of another thread holds."""
    claimed, done, found = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        try:
            with transaction.atomic():
                found.extend(note.pk for note in new_notes()[:count])
                claimed.set()
                done.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(hold)
        try:
            assert claimed.wait(30)
            yield found
        finally:
            done.set()
            result.result()


def test_rows_of_others_are_skipped(notes: None) -> None:
    """In order, without waiting, until the other block ends."""
    with claim_elsewhere(2) as theirs:
        assert theirs == ["n0", "n1"]
        with transaction.atomic():
            assert [note.pk for note in new_notes()[:2]] == ["n2", "n3"]
            assert [note.pk for note in new_notes()] == ["n2", "n3", "n4", "n5"]
        with transaction.atomic():
            assert new_notes().filter(pk="n0").first() is None
            assert not new_notes().filter(pk__in=["n0", "n1"]).exists()
    with transaction.atomic():
        assert new_notes().first().pk == "n0"
    assert stored_leases() == []


def test_more_rows_than_the_first_read_may_be_claimed() -> None:
    """The window grows."""
    Note.objects.bulk_create(Note(id=f"n{i:02}", text="new", stars=i) for i in range(60))
    with claim_elsewhere(55), transaction.atomic():
        assert [note.stars for note in new_notes()[:3]] == [55, 56, 57]
        assert len(new_notes()) == 5


def test_each_job_is_claimed_once() -> None:
    """Eight threads, each claims one or two jobs in a block and changes them; none raises Contention."""
    Note.objects.bulk_create(Note(id=f"n{i}", text="new", stars=i) for i in range(40))
    ran: list[str] = []

    def work(number: int) -> None:
        try:
            while True:
                with transaction.atomic():
                    jobs = list(new_notes()[: 1 + number % 2])
                    for job in jobs:
                        job.text = "done"
                        job.reads += 1
                        job.save(update_fields=["text", "reads"])
                if not jobs:
                    return
                ran.extend(job.pk for job in jobs)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(ran) == sorted(f"n{i}" for i in range(40))
    assert set(Note.objects.values_list("reads", "text")) == {(1, "done")}
    assert stored_leases() == []


def test_a_claimed_row_that_another_changed_is_contention(notes: None) -> None:
    """Writers that do not skip locked rows see no lease. The commit requires the rows as they were read."""
    with pytest.raises(Contention), transaction.atomic():
        job = new_notes().first()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(change_elsewhere, job.pk).result()
        job.text = "mine"
        job.save()
    assert Note.objects.get(pk="n0").text == "theirs"
    assert stored_leases() == []


def change_elsewhere(pk: str) -> None:
    try:
        Note.objects.filter(pk=pk).update(text="theirs")
    finally:
        connection.close()


def test_rows_that_change_before_they_are_claimed_are_given_back(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ones are claimed instead."""
    take = leases.Leases.take

    def late(self: Any, table: str, ids: Any, count: Any = None) -> Any:
        if "n0" in ids:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(change_elsewhere, "n0").result()
        return take(self, table, ids, count)

    monkeypatch.setattr(leases.Leases, "take", late)
    with transaction.atomic():
        assert [note.pk for note in new_notes()[:2]] == ["n1", "n2"]
        assert sorted(stored_leases()) == ["n1", "n2"]


@pytest.mark.parametrize("end", [None, KeyError])
def test_leases_end_with_the_block(notes: None, end: Any) -> None:
    """Also if it writes nothing, or fails."""
    try:
        with transaction.atomic():
            list(new_notes()[:2])
            assert len(stored_leases()) == 2
            if end is not None:
                raise end
    except KeyError:
        pass
    assert stored_leases() == []


def test_the_lease_of_a_killed_process_expires(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows can be claimed again after a minute."""
    monkeypatch.setattr(leases.Leases, "release", lambda self: None)
    with transaction.atomic():
        list(new_notes()[:1])
    monkeypatch.undo()
    with transaction.atomic():
        assert new_notes().first().pk == "n1"
    now = clock.real_time()
    monkeypatch.setattr(clock, "real_time", lambda: now + leases.LEASE_SECONDS + 1)
    with transaction.atomic():
        job = new_notes().first()
        assert job.pk == "n0"
        job.save()
    assert stored_leases() == []


def test_a_claim_sees_the_writes_of_its_block(notes: None) -> None:
    """Rows that the block changed or created are found, and claimed, by their new values."""
    with transaction.atomic():
        Note.objects.filter(pk="n0").update(text="done")
        Note.objects.create(id="own", text="new", stars=-1)
        assert [note.pk for note in new_notes()[:2]] == ["own", "n1"]
        for note in new_notes()[:2]:
            note.text = "done"
            note.save()
        assert new_notes().first().pk == "n2"
    assert Note.objects.filter(text="done").count() == 3


def test_a_claim_takes_no_locks_of_the_server(notes: None) -> None:
    """Claim and change of one row: the keys, their leases, a new lease, the row, one commit."""
    with CaptureRPCsContext(connection) as calls, transaction.atomic():
        job = new_notes().first()
        job.text = "done"
        job.save(update_fields=["text"])
    methods = [call["method"] for call in calls]
    assert methods == ["RunQuery", "BatchGetDocuments", "Commit", "GetDocument", "Commit"]


def in_bulk() -> Any:
    return new_notes().in_bulk(["n4", "n5"]).keys()


def values() -> Any:
    return list(new_notes().values_list("stars", flat=True)[1:3])


def related() -> Any:
    return [note.author.name for note in new_notes().select_related("author").filter(author__name="ann")]


@pytest.mark.parametrize(("query", "expected"), [(in_bulk, {"n4", "n5"}), (values, [1, 2]), (related, ["ann", "ann"])])
def test_other_forms_of_queries(notes: None, query: Callable[[], Any], expected: Any) -> None:
    """Keys, columns, an offset, joins."""
    Note.objects.filter(pk__in=["n0", "n3"]).update(author=Author.objects.create(name="ann"))
    with transaction.atomic():
        assert query() == expected


def test_parents_and_composite_keys() -> None:
    """Rows of several tables, and keys of several columns."""
    hall = Hall.objects.create(pk=5)
    Rectangle.objects.bulk_create(Rectangle(width=i, height=2) for i in range(2))
    with transaction.atomic():
        assert Hall.objects.select_for_update(skip_locked=True).get() == hall
        assert len(Rectangle.objects.select_for_update(skip_locked=True)) == 2


@pytest.mark.parametrize(
    "queryset",
    [
        lambda: new_notes().distinct(),
        lambda: new_notes().values("owner").annotate(n=Count("pk")),
        lambda: new_notes().select_related("author").select_for_update(skip_locked=True, of=("author",)),
    ],
)
def test_rows_of_no_table_cannot_be_claimed(queryset: Callable[[], Any]) -> None:
    """As SQL databases refuse it. `str()` does not."""
    with pytest.raises(NotSupportedError, match="locks rows of the queryset's model"), transaction.atomic():
        list(queryset())
    assert str(queryset().query).endswith("SKIP LOCKED")


class TestATest(TestCase):
    """In a TestCase nothing is sent, and no other block exists."""

    def test_rows_are_claimed(self) -> None:
        Note.objects.create(id="n0", text="new")
        with transaction.atomic():
            assert new_notes().first().pk == "n0"
        assert stored_leases() == []
