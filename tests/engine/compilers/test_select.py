"""Queries on the emulator: the same results as on SQLite, at the stated cost."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Avg, Count, F, Max, Min, Q, Sum, TextField, Value
from django.db.models.functions import Concat, Lower, TruncDate

from memory.backends.firestore.errors import QueryTooBroad
from tests.engine.app.models import Author, Everything, Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

BASE = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
TEXTS = ["Apple", "apple", "banana", "über", "ab\uff5e", "ab😀", "", "zeta"]


@pytest.fixture
def notes() -> list[Note]:
    """The same eight notes on both engines; some columns are null."""
    made = [
        Note(
            id=f"n{i}",
            owner="ann" if i % 2 else "bob",
            text=text,
            stars=None if i % 3 == 0 else i,
            reads=i,
            at=None if i == 7 else BASE + datetime.timedelta(days=40 * i),
            data=[{"a": i % 3, "b c": None}, None, {"x": [[1]]}, {"a": True}][i % 4],
        )
        for i, text in enumerate(TEXTS)
    ]
    for alias in ("default", "sqlite"):
        Note.objects.using(alias).bulk_create(made)
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.filter(stars=4),
        lambda q: q.filter(stars__in=[1, 4, None]),
        lambda q: q.filter(stars__in=list(range(100))),
        lambda q: q.filter(pk__in=["n1", "n5", "nope"]),
        lambda q: q.filter(pk="n1", owner="ann"),
        lambda q: q.filter(pk="a/b"),
        lambda q: q.filter(pk__gt="n3"),
        lambda q: q.exclude(stars=4),
        lambda q: q.exclude(stars__in=[1, 2]),
        lambda q: q.exclude(stars__gt=2),
        lambda q: q.exclude(stars=1, owner="ann"),
        lambda q: q.exclude(stars=1).exclude(reads=2).exclude(owner="x"),
        lambda q: q.filter(~Q(stars=1) | Q(text="zeta")),
        lambda q: q.filter(Q(stars__gt=3) | Q(owner="bob", reads__lt=3)),
        lambda q: q.filter(stars__isnull=True),
        lambda q: q.filter(stars__isnull=False, at__isnull=False),
        lambda q: q.filter(stars__range=(1, 4)),
        lambda q: q.filter(text__startswith="ab"),
        lambda q: q.filter(text__startswith="Ap"),
        lambda q: q.filter(text__startswith=""),
        lambda q: q.exclude(text__startswith="ab"),
        lambda q: q.filter(text__contains="a"),
        lambda q: q.filter(text__icontains="AP"),
        lambda q: q.filter(text__iexact="apple"),
        lambda q: q.filter(text__endswith="le", owner="ann"),
        lambda q: q.filter(text__regex="^[ab]"),
        lambda q: q.filter(at__year=2024),
        lambda q: q.filter(at__year__gte=2024),
        lambda q: q.filter(at__date=datetime.date(2024, 2, 10)),
        lambda q: q.filter(at__date__lt=datetime.date(2024, 2, 10)),
        lambda q: q.filter(at__month=3),
        lambda q: q.filter(data__a=1),
        lambda q: q.filter(data__a=True),
        lambda q: q.filter(data__a__isnull=True),
        lambda q: q.filter(data__has_key="a"),
        lambda q: q.filter(data__has_any_keys=["a", "x"]),
        lambda q: q.filter(**{"data__b c": None}),
        lambda q: q.filter(data__x=[[1]]),
        lambda q: q.exclude(data__a=1),
        lambda q: q.filter(data__isnull=True),
        lambda q: q.filter(stars=F("reads")),
        lambda q: q.filter(stars__gt=F("reads") - 1),
        lambda q: q.annotate(low=Lower("text")).filter(low="apple"),
        lambda q: q.filter(Q(stars=1) ^ Q(owner="ann")),
        lambda q: q.none(),
        lambda q: q.filter(pk__in=q.filter(stars=4).values("pk")),
    ],
)
def test_filters_agree_with_sqlite(change: Callable[[Any], Any], notes: list[Note]) -> None:
    """A filter matches the same rows on both engines, in both lanes."""
    found, expected = (
        sorted(change(Note.objects.using(alias)).values_list("pk", flat=True)) for alias in ("default", "sqlite")
    )
    assert found == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.order_by("stars", "pk"),
        lambda q: q.order_by("-stars", "-pk"),
        lambda q: q.order_by("owner", "-at", "pk"),
        lambda q: q.order_by("text", "pk"),
        lambda q: q.order_by("-pk")[:3],
        lambda q: q.order_by("pk")[2:5],
        lambda q: q.filter(owner="ann").order_by("-pk"),
        lambda q: q.filter(reads__gt=2).order_by("pk"),
        lambda q: q.filter(reads__gt=2).order_by("-stars", "-pk"),
        lambda q: q.filter(reads__in=range(40)).order_by("-text", "pk")[1:4],
        lambda q: q.filter(pk__in=["n1", "n2", "n3"]).order_by("-stars"),
        lambda q: q.order_by(F("stars").desc(nulls_last=True), "pk"),
        lambda q: q.order_by(F("stars").asc(nulls_last=True), "pk"),
        lambda q: q.order_by(Lower("text"), "pk"),
        lambda q: q.order_by("pk").reverse()[:2],
        lambda q: q.order_by("owner", "pk").distinct(),
    ],
)
def test_orders_and_slices_agree_with_sqlite(change: Callable[[Any], Any], notes: list[Note]) -> None:
    """The same rows in the same order."""
    found, expected = ([n.pk for n in change(Note.objects.using(alias))] for alias in ("default", "sqlite"))
    assert found == expected


@pytest.mark.parametrize(
    "query",
    [
        lambda q: q.count(),
        lambda q: q.filter(owner="ann").count(),
        lambda q: q.filter(reads__in=range(70)).count(),
        lambda q: q.filter(Q(owner="ann") | Q(stars__in=range(50))).count(),
        lambda q: q.order_by("pk")[2:5].count(),
        lambda q: q.filter(pk__in=["n1", "nope"]).count(),
        lambda q: q.filter(text__icontains="a").count(),
        lambda q: q.filter(stars=4).exists(),
        lambda q: q.filter(stars=99).exists(),
        lambda q: q.aggregate(Sum("stars"), Avg("stars"), Min("stars"), Max("at"), n=Count("stars")),
        lambda q: q.filter(stars=99).aggregate(Sum("stars"), Avg("stars"), Min("stars"), n=Count("*")),
        lambda q: q.aggregate(n=Count("owner", distinct=True), total=Sum(F("stars") + F("reads"))),
        lambda q: list(q.values("owner").annotate(n=Count("pk"), top=Max("stars")).order_by("owner")),
        lambda q: list(q.values_list("owner", flat=True).distinct().order_by("owner")),
        lambda q: list(q.order_by("pk").values_list("pk", "stars", "data")),
        lambda q: list(
            q.order_by("pk").annotate(twice=Concat("text", Value("!"), output_field=TextField())).values("pk", "twice")
        ),
        lambda q: q.order_by("stars", "pk").last().pk,
        lambda q: q.filter(at__isnull=False).latest("at").pk,
        lambda q: q.earliest("reads").pk,
        lambda q: sorted(q.in_bulk(["n1", "n2", "nope"])),
        lambda q: [n.pk for n in q.order_by("pk").iterator(chunk_size=3)],
        lambda q: list(q.filter(at__isnull=False).dates("at", "month")),
        lambda q: [(n.pk, n.get_deferred_fields()) for n in q.only("text").order_by("pk")],
    ],
)
def test_results_agree_with_sqlite(query: Callable[[Any], Any], notes: list[Note]) -> None:
    """Aggregates, values, iterators and single rows."""
    found, expected = (query(Note.objects.using(alias)) for alias in ("default", "sqlite"))
    assert found == expected


@pytest.mark.parametrize(
    ("query", "lanes", "read"),
    [
        (lambda q: q.get(pk="n1"), ["native"], 1),
        (lambda q: list(q.filter(owner="ann").order_by("-at", "-pk")[:2]), ["native"], 2),
        (lambda q: q.filter(owner="ann").exists(), ["native"], 1),
        (lambda q: q.filter(owner="ann").count(), ["native"], 1),
        (lambda q: list(q.filter(pk__in=["n1", "n2"])), ["native"], 2),
        (lambda q: list(q.filter(owner="ann", text__icontains="A")), ["mirror"], 4),
        (lambda q: list(q.none()), [], 0),
        (lambda q: list(q.filter(pk="a/b")), ["native"], 1),
    ],
)
def test_calls_and_documents_read_are_counted(
    query: Callable[[Any], Any], lanes: list[str], read: int, notes: list[Note], calls: Callable[[], Any]
) -> None:
    """`connection.rpcs` has the lane of each call, and what it read."""
    with calls() as made:
        query(Note.objects.all())
    assert [call["lane"] for call in made] == lanes
    assert sum(call["documents_read"] for call in made) == read


def test_joins_are_answered_in_the_mirror(calls: Callable[[], Any]) -> None:
    """Lookups across relations, `select_related`, annotations: loaded rows limit the next load."""
    ann, bob = (Author.objects.create(name=name) for name in ("ann", "bob"))
    for i in range(4):
        Note.objects.create(id=f"n{i}", author=ann if i % 2 else bob, text=str(i))
    with calls() as made:
        found = list(Note.objects.filter(author__name="ann").select_related("author").order_by("pk"))
        assert [(note.pk, note.author and note.author.name) for note in found] == [("n1", "ann"), ("n3", "ann")]
    assert sum(call["documents_read"] for call in made) == 1 + 2
    with calls() as made:
        [note] = Note.objects.filter(text="0").select_related("author")
        assert note.author == bob
    assert [call["documents_read"] for call in made] == [1, 1]
    counts = Author.objects.annotate(n=Count("note")).order_by("name").values_list("name", "n")
    assert list(counts) == [("ann", 2), ("bob", 2)]
    [first] = Author.objects.filter(name="ann").prefetch_related("note_set")
    assert len(first.note_set.all()) == 2


def test_a_query_that_is_too_broad_names_unsupported_lookups() -> None:
    """Beyond `mirror_limit` an error is raised, and no row is left out silently."""
    Note.objects.bulk_create(Note(id=f"n{i:03}", owner="ann" if i % 2 else "bob") for i in range(60))
    with pytest.raises(QueryTooBroad, match=r"text__icontains.*50 documents of 'engine_note'"):
        list(Note.objects.filter(text__icontains="x"))
    assert list(Note.objects.filter(owner="ann", text__icontains="x")) == []


def test_only_the_columns_that_sqlite_reads_are_fetched(notes: list[Note], monkeypatch: pytest.MonkeyPatch) -> None:
    """A count in the mirror does not read whole documents."""
    reads: list[Any] = []
    executor = connection.cursor()._executor
    run = executor.run
    monkeypatch.setattr(executor, "run", lambda read, **more: reads.append(read) or run(read, **more))
    assert Note.objects.filter(text__icontains="a").count() == 6
    assert [ref.name for ref in reads[0].columns] == ["id", "text"]


def test_the_mirror_is_empty_after_each_query(notes: list[Note]) -> None:
    """Rows of one query are not visible to the next, even if it fails."""
    list(Note.objects.filter(text__icontains="a"))
    with connection.mirror.connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM engine_note")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("options", [{"format": "json"}, {"analyze": True}])
def test_explain_rejects_unsupported_options(options: dict[str, Any], notes: list[Note]) -> None:
    """As on other engines, they are not ignored."""
    with pytest.raises(ValueError, match=f"does not support a format or options on Firestore: {next(iter(options))}"):
        Note.objects.explain(**options)


def test_explain_shows_lane_filters_and_limit(notes: list[Note]) -> None:
    """Without values, which may be private, and without a call to the server."""
    native = Note.objects.filter(owner="ann").order_by("-at").explain()
    assert native == "lane: native\nquery engine_note where owner == ? order by at desc"
    mirror = Note.objects.filter(owner="ann", text__icontains="x").explain()
    assert mirror.splitlines() == [
        "lane: mirror, because of text__icontains",
        "query engine_note where owner == ?",
        "reads at most 50 documents, or raises QueryTooBroad",
    ]


def test_execute_wrappers_see_every_statement(notes: list[Note]) -> None:
    """Wrappers get the statement in SQL, and may refuse it."""
    seen = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        Note.objects.get(pk="n1")
    assert len(seen) == 1
    assert "engine_note" in seen[0]


@pytest.mark.parametrize("size", [1_498, 1_499, 1_500, 1_501])
def test_the_longest_values_are_compared(size: int) -> None:
    """Values around Firestore's size limit for filters, including keys of 1,500 bytes, match as on SQLite."""
    key, text = "k" * min(size, 1_500), "t" * size
    for alias in ("default", "sqlite"):
        Note.objects.using(alias).bulk_create([Note(id=key, text=text), Note(id="a", text="t")])
    for condition in (
        Q(text=text), Q(text__gte=text), Q(text__lt=text), Q(text__in=[text, "t"]), Q(pk=key), Q(pk__in=[key, "b"]),
        Q(pk__lt=key), Q(pk__gte=key) | Q(stars=1), Q(pk=key, text=text), Q(pk="k" * size) | Q(stars=1),
    ):  # fmt: skip
        found = [
            sorted(Note.objects.using(alias).filter(condition).values_list("pk")) for alias in ("default", "sqlite")
        ]
        assert found[0] == found[1], condition


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_sum_beyond_64_bits_is_refused(alias: str) -> None:
    """Firestore would return an inexact double."""
    rows = Everything.objects.using(alias)
    rows.bulk_create(Everything(big=2**62) for _ in range(2))
    with pytest.raises(OperationalError, match="integer overflow"):
        rows.aggregate(Sum("big"))
    rows.filter(pk=rows.first().pk).update(big=-(2**62))
    assert rows.aggregate(Sum("big"), Avg("big")) == {"big__sum": 0, "big__avg": 0}


@pytest.mark.parametrize(
    "rows",
    [
        lambda: Note.objects.exclude(data__has_key="a"),
        lambda: Note.objects.filter(data__has_keys=["a", "b"], data__has_any_keys=["c"]),
        lambda: Note.objects.filter(text__iregex="x", at__year=2020),
        lambda: Note.objects.filter(pk__in=Note.objects.filter(data__has_key="a").values("pk")),
        lambda: Note.objects.filter(text__icontains="x").union(Note.objects.filter(data__has_key="a")),
        lambda: Note.objects.annotate(day=TruncDate("at")).values("day").annotate(n=Count("pk")),
    ],
)
def test_a_query_as_text(rows: Callable[[], Any]) -> None:
    """`str(queryset.query)` needs no call, and is SQLite's text for every lookup."""
    assert str(rows().query).startswith("SELECT ")
