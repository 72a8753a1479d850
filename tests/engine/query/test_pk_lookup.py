"""The fast path for `get(pk=...)` returns the same as a compiled query, and applies to no other query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import F, Q, Value
from django.db.models.sql import DeleteQuery, UpdateQuery
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.query import pk_lookup
from tests.engine.app.models import Author, Everything, Note

pytestmark = pytest.mark.django_db(transaction=True)


def columns(instance: models.Model) -> dict[str, Any]:
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.concrete_fields}


@pytest.fixture
def everything() -> Everything:
    return Everything.objects.create(
        big=-(2**63), binary=b"\0\1", boolean=True, char="é", date=dt.date(1, 1, 1), decimal=Decimal("1.5000"),
        datetime=dt.datetime(9999, 12, 31, tzinfo=dt.UTC), duration=dt.timedelta(microseconds=1), float=0.5,
        json={"a": [[1], None]}, time=dt.time(23, 59),
    )  # fmt: skip


def test_the_row_equals_that_of_a_compiled_query(everything: Everything) -> None:
    """Values and Python types of all field types are the same."""
    quick = Everything.objects.get(pk=everything.pk)
    compiled = Everything.objects.get(pk__gte=everything.pk)
    assert columns(quick) == columns(compiled)
    assert [type(value) for value in columns(quick).values()] == [type(value) for value in columns(compiled).values()]
    assert (quick._state.db, quick._state.adding) == ("default", False)


def test_datetimes_follow_the_time_zone(everything: Everything) -> None:
    """Also if rows were read before with another setting."""
    for read in (lambda: Everything.objects.get(pk=everything.pk), lambda: Everything.objects.get(char="é")):
        assert read().datetime == everything.datetime
        with override_settings(USE_TZ=False):
            assert read().datetime == dt.datetime(9999, 12, 31)  # noqa: DTZ001 - naive without USE_TZ
        assert read().datetime == everything.datetime


QUICK = [
    lambda: Note.objects.filter(pk="a"),
    lambda: Note.objects.filter(id="a").order_by("-stars"),
    lambda: Note.objects.filter(id="a")[:1],
    lambda: Note.objects.filter(pk="a").only("stars"),
    lambda: Note.objects.filter(pk="a").defer("stars"),
    lambda: Note.objects.filter(pk="a", stars=1),
    lambda: Note.objects.exclude(stars__lte=1).filter(pk="a"),
    lambda: Note.objects.filter(Q(stars=1) | Q(text__startswith="x"), pk="a"),
    lambda: Note.objects.filter(pk="a").filter(pk="b"),
]
COMPILED = [
    lambda: Note.objects.all(),
    lambda: Note.objects.exclude(pk="a"),
    lambda: Note.objects.filter(owner="a"),
    lambda: Note.objects.filter(pk="a", text__icontains="b"),
    lambda: Note.objects.filter(pk="a", stars__in=[]),
    lambda: Note.objects.filter(pk="a").only("text").filter(stars=1),
    lambda: Note.objects.filter(pk__in=["a"]),
    lambda: Note.objects.filter(pk=F("owner")),
    lambda: Note.objects.filter(pk=Value("a")),
    lambda: Note.objects.filter(pk="a").values("stars"),
    lambda: Note.objects.filter(pk="a").values_list("stars"),
    lambda: Note.objects.filter(pk="a").annotate(one=Value(1)),
    lambda: Note.objects.filter(pk="a").select_related("author"),
    lambda: Note.objects.filter(pk="a").distinct(),
    lambda: Note.objects.filter(pk="a")[1:2],
    lambda: Note.objects.filter(pk="a") | Note.objects.filter(pk="b"),
    lambda: Note.objects.filter(pk="a").union(Note.objects.filter(pk="b")),
    lambda: Note.objects.filter(author__name="a"),
    lambda: Note.objects.filter(pk="a").select_for_update(),
    lambda: Note.objects.none(),
    lambda: Author.objects.filter(pk=2**63),
]


@pytest.mark.parametrize("queryset", QUICK)
def test_queries_with_the_fast_path(queryset: Callable[[], Any]) -> None:
    """One condition on the primary key, with any ordering."""
    found = pk_lookup.match_select(queryset().query.get_compiler(connection=connection))
    assert found is not None
    assert found[1].ids == ("a",)


@pytest.mark.parametrize("queryset", COMPILED)
def test_queries_without_the_fast_path(queryset: Callable[[], Any]) -> None:
    """Queries with any other feature are compiled."""
    assert pk_lookup.match_select(queryset().query.get_compiler(connection=connection)) is None


def test_absent_and_impossible_keys_are_not_found() -> None:
    """A key that is not a valid document id matches no row."""
    for key in ("absent", "a/b", "", ".", "__x__", "\0", "é" * 2000):
        with pytest.raises(Note.DoesNotExist):
            Note.objects.get(pk=key)
    for number in (1, -1, 2**63 - 1, 2**63, -(2**70)):
        with pytest.raises(Author.DoesNotExist):
            Author.objects.get(pk=number)


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        (lambda: Note.objects.filter(pk="absent").first(), 1),
        (lambda: list(Note.objects.filter(pk="absent", stars=1)), 1),
        (lambda: list(Note.objects.filter(pk__in=["absent", "missing"])), 2),
        (lambda: Note.objects.filter(pk="absent").exists(), 1),
    ],
)
def test_a_missing_document_is_one_read(read: Callable[[], Any], keys: int, calls: Callable[[], Any]) -> None:
    """For each key, in the log of RPCs and in the entry of the statement."""
    with calls() as made, CaptureQueriesContext(connection) as captured:
        assert not read()
    (call,) = made
    assert call["documents_read"] == keys
    assert captured.captured_queries[0]["documents_read"] == keys


def test_it_is_one_call_and_one_document(calls: Callable[[], Any]) -> None:
    """A `get()` by primary key."""
    Note.objects.create(id="a", text="it's")
    with calls() as made:
        note = Note.objects.get(pk="a")
    assert note.text == "it's"
    (call,) = made
    assert (call["method"], call["documents_read"]) == ("GetDocument", 1)
    note.refresh_from_db()
    assert Note.objects.filter(pk="a").exists()
    assert list(Note.objects.filter(pk="a").iterator()) == [note]


@pytest.mark.parametrize(
    ("queryset", "id"),
    [
        (lambda: Note.objects.filter(pk="a"), "a"),
        (lambda: Note.objects.filter(pk="a").only("stars"), "a"),
        (lambda: Author.objects.filter(pk=7), "0000000000000000007"),
        (lambda: Note.objects.filter(pk="a", stars=1), None),
        (lambda: Note.objects.filter(pk__in=["a"]), None),
        (lambda: Note.objects.filter(pk=F("owner")), None),
        (lambda: Note.objects.filter(author__name="a"), None),
        (lambda: Note.objects.filter(pk="a/b"), "a.\U0010ffff1b"),
        (lambda: Note.objects.all(), None),
    ],
)
@pytest.mark.parametrize("write", [UpdateQuery, DeleteQuery])
def test_which_writes_are_for_one_row(queryset: Callable[[], Any], id: str | None, write: type[Any]) -> None:
    """One condition on the primary key; queries with any other feature are compiled."""
    assert pk_lookup.match_write(queryset().query.chain(write), connection) == id


def test_updates_by_key_count_existing_rows(calls: Callable[[], Any]) -> None:
    """One commit each, whose outcome is whether the row exists."""
    Note.objects.create(id="a")
    with calls() as made:
        assert Note.objects.filter(pk="a").update(text="x") == 1
        assert Note.objects.filter(pk="b").update(text="x") == 0
    assert [call["method"] for call in made] == ["Commit", "Commit"]
    assert Note.objects.filter(pk="b").delete()[0] == 0
    assert Note.objects.filter(pk="a").delete()[0] == 1
    assert not Note.objects.exists()
