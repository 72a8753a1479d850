"""Subqueries over committed rows: a subquery's conditions only limit the tables that they apply to."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from django.db import NotSupportedError
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum, Window
from django.db.models.functions import Coalesce, RowNumber
from django.db.models.lookups import In
from django.db.transaction import atomic

from tests.engine.app.models import Book, City, Note, Writer

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)

BOTH = ("default", "sqlite")


@pytest.fixture
def writers() -> None:
    """Three writers in three cities, each with a book that the next one edits."""
    for alias in BOTH:
        City.objects.using(alias).bulk_create(City(id=f"c{i}", country="x") for i in range(3))
        Writer.objects.using(alias).bulk_create(Writer(id=f"w{i}", city_id=f"c{i}") for i in range(3))
        Book.objects.using(alias).bulk_create(
            Book(id=f"b{i}", writer_id=f"w{i}", editor_id="w1", year=2000 + i) for i in range(3)
        )


def names(rows: Any) -> list[str]:
    """The keys of rows, in order."""
    return sorted(row.pk for row in rows)


@pytest.fixture(params=BOTH)
def alias(request: pytest.FixtureRequest, writers: None) -> str:
    """Both databases, which must have the same results."""
    return str(request.param)


def edited_at_home(alias: str) -> Exists:
    """A book of a city's writer whose editor lives in the same city, referenced two queries up."""
    editor = Writer.objects.using(alias).filter(pk=OuterRef("editor"), city=OuterRef(OuterRef("pk")))
    books = Book.objects.using(alias).filter(Exists(editor), writer__city=OuterRef("pk"))
    return Exists(books)


def test_a_condition_on_the_outermost_query_does_not_limit_it(alias: str) -> None:
    """Cities without matching innermost rows are still rows of the outermost query."""
    cities = City.objects.using(alias)
    assert names(cities.filter(edited_at_home(alias))) == ["c1"]
    assert names(cities.filter(~edited_at_home(alias))) == ["c0", "c2"]
    assert names(cities.filter(Q(edited_at_home(alias)) | Q(pk="c2"))) == ["c1", "c2"]
    flags = cities.annotate(home=edited_at_home(alias)).order_by("pk").values_list("home", flat=True)
    assert list(flags) == [False, True, False]
    assert cities.annotate(home=edited_at_home(alias)).filter(home=False).count() == 2


def test_writes_reach_the_same_rows(alias: str) -> None:
    """UPDATE and DELETE match the same rows as SELECT."""
    cities = City.objects.using(alias)
    assert cities.filter(~edited_at_home(alias)).update(country="y") == 2
    assert names(cities.filter(country="y")) == ["c0", "c2"]
    _, deleted = cities.filter(~edited_at_home(alias), country="y").delete()
    assert deleted["engine.City"] == 2
    assert names(cities.all()) == ["c1"]


def test_the_slice_of_a_subquery_applies_to_all_its_rows(alias: str) -> None:
    """And not only to the rows that are linked to the outer query."""
    best = Book.objects.using(alias).order_by("-year").values("pk")[:1]
    found = Writer.objects.using(alias).filter(Exists(Book.objects.filter(writer=OuterRef("pk"), pk__in=best)))
    assert names(found) == ["w2"]
    assert names(found.filter(pk__in=["w0", "w1"])) == []
    assert names(Writer.objects.using(alias).filter(pk__in=["w0", "w1"], books__in=best)) == []


def test_the_window_of_a_subquery_applies_to_all_its_rows(alias: str) -> None:
    """Also to rows that are not linked to the outer query."""
    second = Book.objects.using(alias).annotate(place=Window(RowNumber(), order_by="year")).filter(place=2)
    assert names(Writer.objects.using(alias).filter(pk__in=["w0", "w1"], books__in=second.values("pk"))) == ["w1"]
    assert names(Writer.objects.using(alias).filter(pk="w0", books__in=second.values("pk"))) == []


def test_membership_of_an_outer_column_does_not_limit_the_outer_query(alias: str) -> None:
    """`OuterRef` on the left side of IN belongs to the outer query."""
    of_first = Writer.objects.using(alias).filter(pk="w0").values("city")
    inner = City.objects.using(alias).filter(In(OuterRef("city"), of_first))
    assert names(Writer.objects.using(alias).filter(~Exists(inner))) == ["w1", "w2"]


def test_membership_limits_the_rows_of_a_simple_subquery(writers: None, calls: Any) -> None:
    """`IN (SELECT ...)` reads the inner rows with a value of an outer row."""
    with calls() as made:
        assert names(Writer.objects.filter(pk="w1", pk__in=Book.objects.filter(year__gt=0).values("writer"))) == ["w1"]
    assert sum(call["documents_read"] for call in made) == 2


def test_updates_through_joins_write_each_row_once(alias: str) -> None:
    """A row that a join matches twice is counted once."""
    Book.objects.using(alias).update(editor="w1")
    found = Writer.objects.using(alias).filter(edited__year__gte=2000)
    assert found.count() == 3
    assert found.update(city="c2") == 1
    assert Book.objects.using(alias).filter(editor__edited__year__gte=2000).update(year=F("year") + 1) == 3
    assert sorted(Book.objects.using(alias).values_list("year", flat=True)) == [2001, 2002, 2003]


def test_nesting_beyond_the_parser_of_sqlite_is_refused() -> None:
    """The error names the limit and what to do; the next query works."""
    cities = City.objects.filter(country="x")
    for _ in range(60):
        cities = City.objects.filter(pk__in=cities.values("pk"))
    with pytest.raises(NotSupportedError, match="nests too many subqueries"):
        list(cities)
    assert list(City.objects.filter(Exists(Writer.objects.filter(city=OuterRef("pk"))))) == []


@pytest.mark.parametrize("whole", [False, True])
def test_a_combination_whose_parts_have_no_rows(alias: str, whole: bool) -> None:
    """The condition of the first part is not that of the others, and a part without rows is left out."""
    cities = City.objects.using(alias).order_by()
    none = cities.filter(pk__in=[]).values_list("pk")
    written = cities.filter(pk__in=Writer.objects.using(alias).values("city")).values_list("pk")
    assert sorted(none.union(written, all=whole)) == [("c0",), ("c1",), ("c2",)]
    assert sorted(written.union(none, all=whole)) == [("c0",), ("c1",), ("c2",)]
    assert none.union(written, all=whole).exists()
    assert written.union(none.filter(pk__in=Writer.objects.using(alias).values("city")), all=whole).exists()
    assert none.union(written, all=whole).count() == 3
    assert not none.union(none, all=whole).exists()
    assert sorted(written.difference(none)) == [("c0",), ("c1",), ("c2",)]
    assert list(none.difference(written)) == []


@pytest.mark.parametrize("in_transaction", [False, True])
def test_an_update_reads_the_rows_as_they_were(in_transaction: bool) -> None:
    """A subquery of the updated table does not see rows that the statement has updated, as SQLite's does."""
    Note.objects.bulk_create(Note(id=id, owner="o", stars=stars) for id, stars in (("a", 3), ("b", 1), ("c", 2)))
    others = Note.objects.filter(owner=OuterRef("owner")).order_by().values("owner")
    fewer = others.filter(stars__lt=OuterRef("stars")).annotate(n=Count("pk")).values("n")
    total = others.annotate(s=Sum("stars")).values("s")
    with atomic() if in_transaction else nullcontext():
        Note.objects.update(stars=Coalesce(Subquery(fewer), 0), reads=Subquery(total))
        found = set(Note.objects.values_list("pk", "stars", "reads"))
    assert found == {("a", 2, 6), ("b", 0, 6), ("c", 1, 6)}
    assert Note.objects.filter(~Exists(others.filter(stars__gt=OuterRef("stars")))).update(stars=F("stars") * 0) == 1
    assert set(Note.objects.values_list("pk", "stars")) == {("a", 0), ("b", 0), ("c", 1)}
