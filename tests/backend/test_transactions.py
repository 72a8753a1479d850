"""`atomic()` on the emulator: what it takes back, what it sees of its own, what it costs, and who gets in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from memory.backends.firestore.transaction import run_in_transaction

from .app.models import Author, Note

pytestmark = pytest.mark.django_db(transaction=True)

# ruff: noqa: PT012 - a block that fails is what is tested


@pytest.fixture
def notes() -> None:
    Note.objects.bulk_create(Note(id=f"n{i}", text=f"t{i}", stars=i, reads=i) for i in range(6))


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
            list(cursor._executor.run(by_id("n1"), transaction=other.unit._begun()))
        Note.objects.filter(pk="n1").update(reads=100)
        transaction.get_connection()._commit()
    finally:
        other.rollback()
        other.close()


def by_id(id: str) -> Any:
    from memory.backends.firestore.plan import DOCUMENT_ID, Get

    return Get("engine_note", (id,), (DOCUMENT_ID,))
