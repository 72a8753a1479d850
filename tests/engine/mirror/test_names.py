"""Names that are SQL keywords, text with percent signs, and the state after a failure."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models import Exists, F, Func, Max, OuterRef, Value
from django.db.models.expressions import RawSQL

from memory.backends.firestore.mirror.load_plan import TableRef
from memory.backends.firestore.mirror.sql_text import named_tables
from memory.backends.firestore.query.plan import Create
from memory.backends.firestore.values.types import Kind, Ref
from tests.engine.app.models import Author, Detail, Note

pytestmark = pytest.mark.django_db(transaction=True)


class Epoch(Func):
    """Seconds since 1970, by a template with a percent sign for SQLite."""

    template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
    output_field = models.IntegerField()


@pytest.fixture
def details() -> None:
    """Four rows; the later ones are parts of the first."""
    first = Detail.objects.create(number=0)
    Detail.objects.bulk_create(Detail(number=i, select=i * 2, where="x", parent=first) for i in range(1, 4))


def test_names_are_quoted(details: None) -> None:
    """A table with a space, and columns with the names `rowid`, `select` and `GROUP`."""
    assert list(Detail.objects.annotate(m=F("number") * 2).order_by("m").values_list("m", flat=True)) == [0, 2, 4, 6]
    assert Detail.objects.values("where").distinct().count() == 2
    assert Detail.objects.filter(parent__number=0).update(select=F("number") + 1) == 3
    assert list(Detail.objects.order_by("number").values_list("select", flat=True)) == [None, 2, 3, 4]
    assert Detail.objects.filter(parts__where__contains="x").distinct().get().number == 0
    assert Detail.objects.aggregate(m=Max(F("select") + 0))["m"] == 4
    with transaction.atomic():
        Detail.objects.create(number=9)
        assert Detail.objects.filter(number=9).count() == 1


def test_percent_signs_are_kept() -> None:
    """In reads, updates and inserts."""
    moment = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    Note.objects.create(id="a", at=moment)
    assert Note.objects.annotate(u=Epoch("at")).get().u == 1577836800
    assert Note.objects.update(reads=Epoch("at")) == 1
    Note.objects.create(id="b", reads=Epoch(Value("2021-01-01")))
    assert dict(Note.objects.values_list("id", "reads")) == {"a": 1577836800, "b": 1609459200}


def test_the_mirror_is_empty_after_a_failed_load() -> None:
    """The next query of the thread works."""
    Author.objects.create(name="fine")
    odd = Create("engine_note", "odd", (Ref(("id",), Kind.TEXT), Ref(("text",), Kind.JSON)), ("odd", ["a", "b"]))
    connection.cursor().commit([odd])
    with pytest.raises(Exception):  # noqa: B017 - which one is tested elsewhere
        Note.objects.filter(text__icontains="a").count()
    assert Author.objects.get(name__icontains="FI").name == "fine"


def named(sql: str, *tables: str, uses: tuple[TableRef, ...] = ()) -> dict[tuple[str, str], int]:
    """The references to these tables in a statement."""
    return named_tables(sql, tables, uses)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('SELECT 1 FROM "a b" WHERE x IN (SELECT y FROM "a b" U0)', {("a b", "a b"): 1, ("a b", "U0"): 1}),
        ("SELECT 'FROM c' FROM [a b], c AS t", {("a b", "a b"): 1, ("c", "c"): 1}),
        ("SELECT 1 FROM main.c JOIN `a b` ON 1", {("c", "c"): 1, ("a b", "a b"): 1}),
        ("UPDATE C SET x = 1 -- FROM c", {("c", "c"): 1}),
        ('SELECT 1 WHERE "c" = 1 /* FROM c */', {("c", ""): 1}),
    ],
)
def test_tables_are_found_in_text(sql: str, found: dict[tuple[str, str], int]) -> None:
    """In all kinds of quotes, after commas and schemas, but not in literals or comments."""
    assert named(sql, "a b", "c", uses=(TableRef("a b", "U0"),)) == found


def test_a_table_in_raw_sql_is_loaded(details: None) -> None:
    """After a comma, and in different case."""
    Author.objects.create(name="a")
    raw = RawSQL('SELECT count(*) FROM "order Details" d, engine_author', ())
    assert Author.objects.annotate(n=raw).get().n == 4


def test_slices_with_a_self_join_are_bounded(details: None, calls: Any) -> None:
    """The slice is read as a slice, and the joined rows of the same table by key."""
    for query in (
        Detail.objects.select_related("parent").order_by("-number"),
        Detail.objects.annotate(has=Exists(Detail.objects.filter(parent=OuterRef("pk")))).order_by("-number"),
    ):
        with calls() as made:
            assert [row.number for row in query[:2]] == [3, 2]
        assert sum(call["documents_read"] for call in made) <= 3
        with calls() as made:
            assert [row.number for row in query[1:3]] == [2, 1]
        assert sum(call["documents_read"] for call in made) <= 4


def test_first_of_a_table_that_the_transaction_wrote_to_is_bounded(calls: Any) -> None:
    """Firestore's first rows and the transaction's own are read."""
    Detail.objects.bulk_create(Detail(number=i) for i in range(20))
    with transaction.atomic():
        Detail.objects.create(number=30)
        Detail.objects.filter(number=19).update(number=-1)
        Detail.objects.filter(number=0).delete()
        with calls() as made:
            assert Detail.objects.order_by("-number").first().number == 30  # type: ignore[union-attr]
            assert [row.number for row in Detail.objects.order_by("-number")[1:3]] == [18, 17]
            assert Detail.objects.exists()
            assert [row.number for row in Detail.objects.order_by("number")[:2]] == [-1, 1]
        assert sum(call["documents_read"] for call in made) <= 4 * 6
