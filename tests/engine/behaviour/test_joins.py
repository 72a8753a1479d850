"""Joins on the emulator: the same results as on SQLite, with few calls and documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Count, Exists, F, FilteredRelation, Max, OuterRef, Prefetch, Q, Subquery, Window
from django.db.models.functions import RowNumber
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.errors import QueryTooBroad
from tests.engine.app.models import Book, City, Novel, Remark, Tag, Writer

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)

CITIES = {"bergen": "norway", "oslo": "norway", "lyon": "france"}
# A writer's city and teacher.
WRITERS = {"ann": ("bergen", None), "bob": ("lyon", "ann"), "cleo": ("oslo", "bob"), "dan": ("lyon", None)}
# A book's writer, editor, year and tags.
BOOKS: dict[str, tuple[str, str | None, int, tuple[str, ...]]] = {
    "b0": ("ann", "bob", 2000, ("sea", "war")),
    "b1": ("ann", None, 2001, ("sea",)),
    "b2": ("bob", "ann", 2001, ()),
    "b3": ("cleo", "ann", 2003, ("war",)),
    "b4": ("bob", "dan", 2004, ("sea", "art")),
    "b5": ("cleo", None, 2005, ("art",)),
}


@pytest.fixture
def library() -> None:
    """The same books, writers, cities and tags on both engines."""
    kind = ContentType.objects.get_for_model(Book)  # one for both, as GenericRelation asks the default database only
    ContentType.objects.using("sqlite").filter(app_label="engine", model="book").delete()
    ContentType(id=kind.id, app_label="engine", model="book").save(using="sqlite")
    ContentType.objects.clear_cache()
    ContentType.objects.get_for_model(Book)
    for alias in ("default", "sqlite"):
        City.objects.using(alias).bulk_create(City(id=name, country=country) for name, country in CITIES.items())
        Writer.objects.using(alias).bulk_create(
            Writer(id=name, city_id=city, teacher_id=teacher) for name, (city, teacher) in WRITERS.items()
        )
        Tag.objects.using(alias).bulk_create(Tag(id=name) for name in ("art", "sea", "war"))
        Book.objects.using(alias).bulk_create(
            Book(id=name, writer_id=writer, editor_id=editor, year=year)
            for name, (writer, editor, year, _) in BOOKS.items()
        )
        through = Book.tags.through
        through.objects.using(alias).bulk_create(
            through(id=number, book_id=name, tag_id=tag)
            for number, (name, tag) in enumerate((n, tag) for n, (*_, tags) in BOOKS.items() for tag in tags)
        )
        Novel.objects.using(alias).create(id="n0", writer_id="dan", year=1999, hero="ida")
        remarks = Remark.objects.using(alias)
        remarks.bulk_create(Remark(id=i, text=f"r{i}", content_type=kind, object_id=f"b{i % 3}") for i in range(5))


def names(rows: Any) -> list[Any]:
    """The keys of rows, and of the objects loaded by `select_related`."""
    return [(row.pk, [str(value) for value in row._state.fields_cache.values()]) for row in rows]


QUERIES: dict[str, Callable[[Any], Any]] = {
    "forward": lambda b: names(b(Book).filter(writer="ann").select_related("writer").order_by("pk")),
    "chain": lambda b: names(b(Book).filter(year__gt=2000).select_related("writer__city").order_by("-year", "pk")),
    "nullable": lambda b: names(b(Book).select_related("editor__teacher").order_by("pk")),
    "self": lambda b: names(b(Writer).select_related("teacher__teacher").order_by("pk")),
    "by column of the other": lambda b: names(b(Book).filter(writer__city__country="norway").order_by("pk")),
    "both": lambda b: names(b(Book).filter(year=2001, editor__city="bergen").select_related("writer").order_by("pk")),
    "or across": lambda b: names(b(Book).filter(Q(writer="ann") | Q(editor__city="lyon")).order_by("pk")),
    "null across": lambda b: names(b(Book).filter(editor__teacher__isnull=True).order_by("pk")),
    "order across": lambda b: names(b(Book).order_by("writer__city__country", "-pk")),
    "reverse": lambda b: names(b(Writer).filter(books__year=2001).order_by("pk")),
    "reverse twice": lambda b: names(b(Writer).filter(books__year=2001, edited__year=2000).order_by("pk")),
    "exclude reverse": lambda b: names(b(Writer).exclude(books__year=2001).order_by("pk")),
    "exclude many": lambda b: names(b(Book).exclude(tags="sea").order_by("pk")),
    "many": lambda b: names(b(Book).filter(tags="war").order_by("pk")),
    "many twice": lambda b: names(b(Book).filter(tags="war").filter(tags="sea").order_by("pk")),
    "many, from the tag": lambda b: names(b(Tag).filter(books__writer="ann").distinct().order_by("pk")),
    "count": lambda b: list(b(Writer).annotate(n=Count("books")).order_by("pk").values_list("pk", "n")),
    "counts": lambda b: list(
        b(Writer).annotate(n=Count("books", distinct=True), m=Max("edited__year")).order_by("pk").values_list("n", "m")
    ),
    "group": lambda b: list(b(Book).values("writer__city__country").annotate(n=Count("pk")).order_by("-n")),
    "in query": lambda b: names(b(Book).filter(writer__in=b(Writer).filter(city="oslo")).order_by("pk")),
    "not in query": lambda b: names(b(Book).exclude(writer__in=b(Writer).filter(city="oslo")).order_by("pk")),
    "in values": lambda b: names(
        b(City).filter(pk__in=b(Writer).filter(books__year__gte=2004).values("city")).order_by("pk")
    ),
    "in slice": lambda b: names(b(Book).filter(writer__in=b(Writer).order_by("-pk")[:2]).order_by("pk")),
    "exists": lambda b: names(
        b(Writer).filter(Exists(b(Book).filter(writer=OuterRef("pk"), year=2001))).order_by("pk")
    ),
    "not exists": lambda b: names(
        b(Writer).filter(~Exists(b(Book).filter(writer=OuterRef("pk"), year=2001))).order_by("pk")
    ),
    "subquery": lambda b: list(
        b(Writer)
        .annotate(last=Subquery(b(Book).filter(writer=OuterRef("pk")).order_by("-year").values("year")[:1]))
        .order_by("pk")
        .values_list("pk", "last")
    ),
    "filter by subquery": lambda b: list(
        b(Writer)
        .annotate(last=Subquery(b(Book).filter(writer=OuterRef("pk")).order_by("-year").values("year")[:1]))
        .filter(last__gt=2002)
        .order_by("pk")
        .values_list("pk", "last")
    ),
    "filtered relation": lambda b: list(
        b(Writer)
        .annotate(new=FilteredRelation("books", condition=Q(books__year__gt=2001)))
        .order_by("pk", "new__pk")
        .values_list("pk", "new__pk")
    ),
    "columns compared": lambda b: names(b(Book).filter(writer__city=F("editor__city")).order_by("pk")),
    "inherited": lambda b: names(b(Novel).filter(writer__city="lyon", hero="ida")),
    "generic": lambda b: names(b(Book).filter(remarks__text="r4").order_by("pk")),
    "union": lambda b: list(
        b(Book)
        .filter(writer="ann")
        .values_list("pk")
        .union(b(Book).filter(tags="art").values_list("pk"))
        .order_by("id")
    ),
    "prefetched": lambda b: [
        (book.pk, sorted(tag.pk for tag in book.tags.all()), sorted(r.text for r in book.remarks.all()))
        for book in b(Book).filter(year__lte=2001).order_by("pk").prefetch_related("tags", "remarks")
    ],
    "prefetched chain": lambda b: [
        (city.pk, sorted(book.pk for writer in city.writer_set.all() for book in writer.books.all()))
        for city in b(City).order_by("pk").prefetch_related(Prefetch("writer_set__books"))
    ],
    "sliced": lambda b: names(b(Book).select_related("writer__city", "editor").order_by("-year", "-pk")[1:4]),
    "sliced, outer joins": lambda b: names(b(Book).select_related("editor").order_by("-year", "-pk")[1:4]),
    "sliced order across": lambda b: names(b(Book).order_by("writer__city", "pk")[2:4]),
    "sliced many": lambda b: names(b(Book).filter(tags__in=["sea", "war"]).order_by("pk")[1:3]),
    "sliced window": lambda b: list(
        b(Book).annotate(n=Window(RowNumber(), order_by="pk")).order_by("-pk").values_list("pk", "n")[:2]
    ),
    "first": lambda b: names([b(Book).select_related("editor").order_by("year", "pk").first()]),
    "aggregate across": lambda b: b(Book).filter(writer__city="lyon").aggregate(n=Count("pk"), last=Max("year")),
    "exists across": lambda b: (b(Book).filter(writer__city="oslo").exists(), b(Book).filter(tags="x").exists()),
}


COSTS: dict[str, list[str]] = {
    # Forward keys are followed by ids, for chains of any length and collections of any size.
    "forward": ["2 engine_book: where writer_id == ?", "1 engine_writer: 1 by id"],
    "chain": ["5 engine_book: where year > ?", "3 engine_writer: 3 by id", "3 engine_city: 3 by id"],
    # Rows that are already in the mirror are not read again.
    "self": ["4 engine_writer:"],
    # A condition on the joined table is applied there first, and followed back.
    "by column of the other": [
        "2 engine_city: where country == ?",
        "2 engine_writer: where city_id in (2)",
        "4 engine_book: where writer_id in (2)",
    ],
    "reverse": ["2 engine_book: where year == ?", "2 engine_writer: 2 by id"],
    "many": ["2 engine_book_tags: where tag_id == ?", "2 engine_book: 2 by id"],
    "exists": ["2 engine_book: where year == ?", "2 engine_writer: 2 by id"],
    "in query": ["1 engine_writer: where city_id == ?", "2 engine_book: where writer_id == ?"],
    "in slice": ["4 engine_writer:", "7 engine_book: where writer_id in (4)"],
    "generic": ["1 engine_remark: where text == ? and content_type_id == ?", "1 engine_book: 1 by id"],
    "inherited": ["1 engine_novel: where hero == ?", "1 engine_book: 1 by id", "1 engine_writer: 1 by id"],
    # Firestore applies the slice if joins only add columns.
    "sliced": [
        "4 engine_book: order by -year, -__name__ limit 4",
        "2 engine_writer: 2 by id",
        "2 engine_city: 2 by id",
        "2 engine_writer: 2 by id",
    ],
    # Skipped rows are read only if an inner join might remove them.
    "sliced, outer joins": [
        "3 engine_book: order by -year, -__name__ offset 1 limit 3",
        "2 engine_writer: 2 by id",
    ],
    "first": ["1 engine_book: order by year, __name__ limit 1"],
    # It does not apply the slice if joins can add or remove rows.
    "sliced many": ["5 engine_book_tags: where tag_id in (2)", "4 engine_book: 4 by id"],
    "sliced window": ["7 engine_book:"],
}


# The mirror requests one document more than the limit, to detect that there are more.
bounded = re.compile(r" limit (4\d|5\d)$")


@pytest.mark.parametrize("name", QUERIES)
def test_joins_agree_with_sqlite(name: str, library: None, calls: Callable[[], Any]) -> None:
    """Each way to follow a relation returns the rows of SQLite, at the stated cost."""
    query = QUERIES[name]
    with calls() as made:
        found = query(lambda model: model.objects.all())
    assert found == query(lambda model: model.objects.using("sqlite"))
    assert found
    lines = [bounded.sub("", f"{call['documents_read']} {call['description']}") for call in made]
    assert lines == COSTS.get(name, lines)


def test_a_slice_with_a_dangling_key_is_as_long_as_sqlite_makes_it(library: None) -> None:
    """An inner join leaves out a row with a missing related row, and the slice is filled with the next."""
    City.objects.filter(pk="lyon")._raw_delete("default")
    found = Book.objects.select_related("writer__city").order_by("pk")[:4]
    assert [book.pk for book in found] == ["b0", "b1", "b3", "b5"]
    skipped = Book.objects.select_related("writer__city").order_by("-pk")[1:3]
    assert [book.pk for book in skipped] == ["b3", "b1"]


def test_a_join_over_too_many_rows_is_refused(library: None) -> None:
    """No row is left out silently: all rows that a join loads count towards `mirror_limit`."""
    City.objects.bulk_create(City(id=f"c{i}", country="chile") for i in range(60))
    Writer.objects.bulk_create(Writer(id=f"w{i}", city_id=f"c{i}") for i in range(60))
    with pytest.raises(QueryTooBroad, match="engine_city"):
        list(Writer.objects.filter(city__country="chile"))
    with pytest.raises(QueryTooBroad, match="engine_writer"):
        list(Writer.objects.select_related("city"))
    assert len(Writer.objects.select_related("city").order_by("pk")[:20]) == 20


def test_explain_of_a_query_without_rows_while_queries_are_logged() -> None:
    """The log shows the statement that is explained, which has no SQL."""
    with CaptureQueriesContext(connection) as logged:
        text = Book.objects.filter(pk__in=[]).explain()
    assert "no row can match" in text
    assert [query["sql"] for query in logged] == ["EXPLAIN"]


def test_explain_shows_how_each_table_is_loaded(library: None) -> None:
    """`explain()` lists the loads in their order."""
    lines = Book.objects.filter(writer__city="oslo", tags="war").select_related("editor").explain()
    assert lines.splitlines()[1:-1] == [
        "query engine_book_tags where tag_id == ?",
        "get from engine_book by id in engine_book_tags.book_id",
        "get from engine_writer by id in engine_book.writer_id",
        "get from engine_writer by id in engine_book.editor_id",
    ]
