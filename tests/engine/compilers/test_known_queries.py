"""Queries of one table are compiled and planned once for their shape."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from types import FrameType
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.db.models import Count, F, Q, Value
from django.db.models.functions import Lower
from django.db.models.sql import compiler
from django.test import override_settings
from django.test.utils import isolate_apps

from memory.backends.firestore.cache import MAX_QUERIES, Recent
from memory.backends.firestore.compilers.known_queries import shape_of
from memory.backends.firestore.query import analysis, planner
from tests.engine.app.models import Everything, Note

pytestmark = pytest.mark.django_db(transaction=True)

PLANNING = {
    planner.plan.__code__: "plan",
    analysis.analyze.__code__: "analyze",
    compiler.SQLCompiler.pre_sql_setup.__code__: "compile",
}


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    connection.cache.queries.clear()


def planning(action: Callable[[], Any]) -> Counter[str]:
    """How often an action compiled, analyzed and planned."""
    counted: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code in PLANNING:
            counted[PLANNING[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return counted


ANN = Note.objects.filter(owner="ann")
KNOWN: list[Callable[[str, int], Any]] = [
    lambda owner, stars: list(Note.objects.all()),
    lambda owner, stars: list(Note.objects.filter(owner=owner)),
    lambda owner, stars: list(Note.objects.filter(owner=owner).order_by("-stars", "-id")[:stars]),
    lambda owner, stars: list(Note.objects.filter(owner=owner).exclude(stars__lte=stars)),
    lambda owner, stars: list(Note.objects.filter(Q(stars=stars) | Q(owner=owner)).order_by("stars")[:2]),
    lambda owner, stars: list(Note.objects.filter(stars__in=[stars, stars + 1, stars + 2])),
    lambda owner, stars: list(Note.objects.filter(data__a=owner)),
    lambda owner, stars: list(Note.objects.filter(id__gt=owner).order_by("id")[:stars]),
    lambda owner, stars: list(Note.objects.filter(author=stars)),
    lambda owner, stars: list(Note.objects.filter(owner=owner).only("text")),
    lambda owner, stars: list(Note.objects.filter(owner=owner).values_list("text", "stars")),
    lambda owner, stars: list(Note.objects.filter(owner=owner).values("pk", "text")),
    lambda owner, stars: list(Note.objects.filter(text__startswith=owner)),
    lambda owner, stars: list(Note.objects.filter(at__date=f"2025-01-0{stars}")),
    lambda owner, stars: Note.objects.filter(owner=owner).exists(),
    lambda owner, stars: Note.objects.filter(owner=owner).first(),
    lambda owner, stars: Note.objects.filter(owner=owner).last(),
]


@pytest.mark.parametrize("query", KNOWN)
def test_a_query_is_planned_once(query: Callable[[str, int], Any]) -> None:
    """The second time, with other values, nothing is compiled or planned."""
    first = planning(lambda: query("ann", 1))
    assert (first["compile"], first["analyze"]) == (1, 1)
    assert first["plan"]
    assert planning(lambda: query("bob", 2)) == {}


NOT_KNOWN: list[Callable[[], Any]] = [
    lambda: ANN.annotate(lower=Lower("text")),
    lambda: ANN.annotate(one=Value("1")),
    lambda: ANN.order_by(F("stars").desc(nulls_last=True)),
    lambda: ANN.filter(author__name="a"),
    lambda: ANN.select_related("author"),
    lambda: ANN.distinct(),
    lambda: ANN.union(ANN),
    lambda: ANN.select_for_update(),
    lambda: ANN.values("owner").annotate(n=Count("pk")),
    lambda: ANN.values_list("author__name"),
    lambda: ANN.values_list(Lower("text")),
]


@pytest.mark.parametrize("queryset", NOT_KNOWN)
def test_other_queries_have_no_shape(queryset: Callable[[], Any]) -> None:
    """Expressions, joins and locks are compiled each time."""
    assert shape_of(queryset().query) is None


@pytest.mark.parametrize(
    "query",
    [
        lambda text: Note.objects.filter(text__icontains=text),
        lambda text: Note.objects.filter(owner="ann", text__endswith=text),
        lambda text: Note.objects.order_by("author__name").filter(owner=text),
        lambda text: Note.objects.filter(owner=text).order_by("?"),
        lambda text: Note.objects.filter(stars=F("reads"), owner=text),
        lambda text: Note.objects.filter(pk__in=Note.objects.filter(owner=text).values("pk")),
    ],
)
def test_queries_that_are_not_native(query: Callable[[str], Any]) -> None:
    """The mirror answers them the second time as the first time."""
    Note.objects.bulk_create([Note(id="1", text="ann", stars=0), Note(id="2", text="bob", stars=1, owner="bob")])
    for text in ("ann", "bob", "carl", "ann"):
        found = sorted(note.pk for note in query(text))
        connection.cache.queries.clear()
        assert sorted(note.pk for note in query(text)) == found


def test_own_rows_of_a_transaction() -> None:
    """A query that was planned outside finds what the transaction wrote."""
    Note.objects.create(id="1")
    assert [note.pk for note in Note.objects.filter(owner="ann")] == ["1"]
    with transaction.atomic():
        Note.objects.create(id="2")
        assert sorted(note.pk for note in Note.objects.filter(owner="ann")) == ["1", "2"]
    assert sorted(note.pk for note in Note.objects.filter(owner="ann")) == ["1", "2"]


def test_datetimes_follow_the_time_zone() -> None:
    """Also of a query that was known with another setting."""
    stored = Everything.objects.create(datetime="2025-01-01T00:00Z", char="a")
    stored.refresh_from_db()
    for _ in range(2):
        assert Everything.objects.get(char="a").datetime == stored.datetime
        with override_settings(USE_TZ=False):
            assert Everything.objects.get(char="a").datetime == stored.datetime.replace(tzinfo=None)


@isolate_apps("tests.engine.app")
def test_a_model_that_changes() -> None:
    """What is known of a model is not used after its fields or its order have changed."""

    class Changing(models.Model):
        id = models.CharField(primary_key=True, max_length=10)
        text = models.TextField(default="")

        class Meta:
            app_label = "engine"

        def __str__(self) -> str:
            return self.id

    def read() -> list[Any]:
        return [
            {name: vars(row)[name] for name in ("id", "text", "more") if name in vars(row)}
            for row in Changing.objects.all()
        ]

    Changing.objects.bulk_create([Changing(id="a", text="1"), Changing(id="b", text="0")])
    assert read() == read() == [{"id": "a", "text": "1"}, {"id": "b", "text": "0"}]
    Changing._meta.ordering = ["text"]
    assert read() == read() == [{"id": "b", "text": "0"}, {"id": "a", "text": "1"}]
    Changing.add_to_class("more", models.IntegerField(null=True))
    Changing.objects.update(more=1)
    assert read() == read() == [{"id": "b", "text": "0", "more": 1}, {"id": "a", "text": "1", "more": 1}]
    assert Changing.objects.get(id="a").more == Changing.objects.get(id="a").more == 1


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes, and the plans of each, that were used last are kept."""
    monkeypatch.setattr(connection.cache, "queries", Recent(3))
    for columns in permutations(["char", "small", "slug"]):
        list(Everything.objects.values_list(*columns))
        list(Everything.objects.values_list("char", "small", "slug"))
    kept = [known.select[0][0].target.name for known in connection.cache.queries.values()]
    assert kept == ["slug", "slug", "char"]
    known = connection.cache.queries.popitem()[1]
    assert known.plans.most == MAX_QUERIES
    for number in range(MAX_QUERIES + 1):
        known.plans.keep(number, number)
    assert len(known.plans) == MAX_QUERIES
    assert known.plans.find(MAX_QUERIES) == MAX_QUERIES
