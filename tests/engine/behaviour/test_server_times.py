"""Values that the server sets to the time of the commit, in the same write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import django
import pytest
import time_machine
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


class ServerNow(Now):
    """As an app would declare it."""

    is_server_time = True


@pytest.fixture
def bounds() -> Callable[[], tuple[dt.datetime, dt.datetime]]:
    """A second around now, by the real clock: the emulator is on this machine."""
    began = dt.datetime.now(dt.UTC)
    return lambda: (began - dt.timedelta(seconds=1), dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1))


def times() -> list[Any]:
    return list(Note.objects.order_by("pk").values_list("at", flat=True))


def assert_of_the_server(found: list[Any], bounds: Any) -> None:
    """Within the test, and to the millisecond, which this process's clock is not."""
    low, high = bounds()
    assert found
    for value in found:
        assert low <= value <= high
        assert value.microsecond % 1000 == 0


def bulk_update() -> None:
    notes = [Note(pk=pk, text=f"new {pk}") for pk in ("a", "b")]
    for note in notes:
        note.at = ServerNow()
    Note.objects.bulk_update(notes, ["text", "at"])


def upsert() -> None:
    notes = [Note(pk=pk, text="new", at=ServerNow()) for pk in ("a", "b", "c")]
    Note.objects.bulk_create(notes, update_conflicts=True, unique_fields=["id"], update_fields=["text", "at"])


WRITES: dict[str, Callable[[], Any]] = {
    "create": lambda: Note.objects.create(pk="c", at=ServerNow()),
    "bulk_create": lambda: Note.objects.bulk_create(Note(pk=f"c{n}", at=ServerNow()) for n in range(3)),
    "save": lambda: Note(pk="a", at=ServerNow()).save(),
    "update by key": lambda: Note.objects.filter(pk="a").update(text="x", at=ServerNow()),
    "update by another column": lambda: Note.objects.filter(owner="ann").update(at=ServerNow()),
    "update with an increment": lambda: Note.objects.filter(pk="a").update(reads=F("reads") + 1, at=ServerNow()),
    "update with an expression": lambda: Note.objects.filter(pk="a").update(text=F("owner"), at=ServerNow()),
    "bulk_update": bulk_update,
    "upsert": upsert,
}


@pytest.mark.parametrize("in_a_block", [False, True], ids=["alone", "in a block"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_write_stores_the_time_of_the_server(write: Callable[[], Any], in_a_block: bool, bounds: Any) -> None:
    """Whatever this process believes the time is, and beside the other values of the write."""
    Note.objects.bulk_create([Note(pk="a"), Note(pk="b")])
    with time_machine.travel("2001-02-03", tick=True):
        if in_a_block:
            with transaction.atomic():
                write()
        else:
            write()
    assert_of_the_server([time for time in times() if time is not None], bounds)


def test_the_rows_of_one_commit_have_one_time() -> None:
    """Also in a transaction of several statements."""
    with transaction.atomic():
        Note.objects.create(pk="a", at=ServerNow())
        Note.objects.bulk_create([Note(pk="b", at=ServerNow()), Note(pk="c", at=ServerNow())])
    assert len(times()) == 3
    assert len(set(times())) == 1


def test_a_later_commit_has_a_later_time() -> None:
    """So what is newer than the newest row that was read is what was written since."""
    for pk in "abc":
        Note.objects.create(pk=pk, at=ServerNow())
    assert times() == sorted(times())


def test_it_costs_no_call_and_no_read(calls: Callable[[], Any]) -> None:
    """One commit for a row, as without it."""
    with calls() as log:
        Note.objects.create(pk="a", at=ServerNow())
        Note.objects.filter(pk="a").update(at=ServerNow())
    assert [call["method"] for call in log] == ["Commit", "Commit"]


def test_own_writes_have_an_estimate_until_the_commit(bounds: Any) -> None:
    """A transaction reads what this process believes; what others read is the server's."""
    with transaction.atomic():
        Note.objects.create(pk="a", text="x", at=ServerNow())
        [estimate] = Note.objects.filter(text__icontains="X").values_list("at", flat=True)
        low, high = bounds()
        assert low <= estimate <= high
        assert list(Note.objects.filter(at__gte=low).values_list("pk", flat=True)) == ["a"]
    assert_of_the_server(times(), bounds)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django reads no values of expressions back before 6.0.")
def test_the_object_has_the_stored_time() -> None:
    """Django asks for the values of expressions with the write; they come with the commit's response."""
    note = Note.objects.create(pk="a", at=ServerNow())
    assert note.at == Note.objects.get(pk="a").at
    note.at = ServerNow()
    note.save()
    assert note.at == Note.objects.get(pk="a").at
    assert type(note.at) is dt.datetime


def test_plain_now_is_not_concerned() -> None:
    """`Now()` is computed before the write, as in any expression, and returned as it is stored."""
    with transaction.atomic():
        Note.objects.create(pk="a", at=Now())
        inside = times()
    assert times() == inside
