"""Hypothesis searches for queries that read more than `explain()` says, or in another lane.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_explain.py` is the long run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.models import Count, F, Max, Q, QuerySet
from django.db.models.functions import Length, Lower
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.errors import QueryTooBroad
from memory.backends.firestore.testing import CaptureRPCsContext

from .examples import examples
from .models import Everything, Label, Person, Place, Work
from .queries import CONDITIONS, ORDERED, leaf, outcome, rows
from .test_queries import fill
from .test_relations import FORWARD, Story, World, stories, worlds
from .test_subqueries import Tree, trees

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))
EXAMPLES_OF_ONE_TABLE = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "6"))

LIMIT: Final = 8
"""The mirror's limit, which some of these queries exceed."""

QUERIES: Final = 8

BOUND: Final = re.compile(r"reads at most (\d+) documents(?:, or (\d+) if an inner join)?")


@dataclass(frozen=True)
class Plain:
    """A query of one table: a filter, an order and a slice."""

    model: Any
    condition: Q
    order: str
    start: int
    stop: int | None

    def rows(self, alias: str) -> QuerySet[Any]:
        """The queryset of one database."""
        return self.model.objects.using(alias).filter(self.condition).order_by(self.order)[self.start : self.stop]  # type: ignore[no-any-return]


@st.composite
def plain(draw: st.DrawFn) -> Plain:
    """Mostly what Firestore answers."""
    model = draw(st.sampled_from([Person, Work]))
    paths = {path: values for path, values in FORWARD[model].items() if "__" not in path.removesuffix("__in")}
    leaf = st.sampled_from(sorted(paths)).flatmap(lambda path: paths[path].map(lambda value: Q(**{path: value})))
    condition = draw(st.just(Q()) | leaf | st.tuples(leaf, leaf).map(lambda two: two[0] | two[1]))
    start = draw(st.integers(0, 2))
    stop = draw(st.none() | st.integers(1, 4).map(lambda size: start + size))
    order = draw(st.sampled_from(["pk", "-pk", "year" if model is Work else "home"]))
    return Plain(model, condition, order, start, stop)


SHAPES: Final[dict[str, Callable[[QuerySet[Any]], QuerySet[Any]]]] = {
    "rows": lambda query: query,
    "some columns": lambda query: query.values_list("text", "instant"),
    "deferred": lambda query: query.only("name", "exact"),
    "a function": lambda query: query.annotate(lower=Lower("name")),
    "by a function": lambda query: query.order_by(Length("name"), "pk"),
    "distinct": lambda query: query.order_by("number").values("number").distinct(),
    "groups": lambda query: query.order_by("number").values("number").annotate(n=Count("pk"), m=Max("name")),
    "a condition on groups": lambda query: query.order_by().values("name").annotate(n=Count("pk")).filter(n__gt=1),
    "among": lambda query: query.model._default_manager.using(query.db).filter(pk__in=query.order_by().values("pk")),
    "without an index": lambda query: query.filter(pk__gt="").order_by("number", "-name"),
}
"""What is made of a filtered query of `Everything`."""


@dataclass(frozen=True)
class OfOneTable:
    """Filters and exclusions of every lookup, an order, a shape and a slice."""

    steps: tuple[tuple[str, Q], ...]
    order: tuple[str, ...]
    shape: str
    start: int
    stop: int | None

    def rows(self, alias: str) -> QuerySet[Any]:
        """The queryset of one database."""
        query: QuerySet[Any] = Everything.objects.using(alias)
        for method, condition in self.steps:
            query = getattr(query, method)(condition)
        return SHAPES[self.shape](query.order_by(*self.order, "pk"))[self.start : self.stop]


@st.composite
def of_one_table(draw: st.DrawFn) -> OfOneTable:
    """Mostly one condition, so that many are native."""
    condition = leaf() | leaf() | CONDITIONS
    start = draw(st.sampled_from([0, 0, 0, 2]))
    return OfOneTable(
        tuple(draw(st.lists(st.tuples(st.sampled_from(["filter", "filter", "exclude"]), condition), max_size=2))),
        tuple(draw(st.lists(st.sampled_from([*ORDERED, *(f"-{name}" for name in ORDERED)]), max_size=1))),
        draw(st.sampled_from(["rows", "rows", *SHAPES])),
        start,
        draw(st.none() | st.integers(1, 4).map(lambda size: start + size)),
    )


def create(alias: str) -> None:
    Work.objects.using(alias).create(id="own", person_id=1, year=2001)
    Person.objects.using(alias).create(id=9, home_id="p0")


def change(alias: str) -> None:
    Work.objects.using(alias).filter(year__lte=2001).update(year=F("year") + 1)
    Person.objects.using(alias).filter(pk__in=[0, 1]).update(home="p1")
    Place.objects.using(alias).filter(pk="p0").update(country="y")


def delete(alias: str) -> None:
    Work.objects.using(alias).filter(person__gte=2)._raw_delete(alias)  # type: ignore[attr-defined]
    Label.objects.using(alias).filter(pk="a")._raw_delete(alias)  # type: ignore[attr-defined]


def change_one_table(alias: str) -> None:
    """An update of known values, one that is computed, a deletion and a new row."""
    everything = Everything.objects.using(alias)
    everything.filter(number__lt=0).update(text="own")
    everything.filter(number__gte=2).update(number=F("number") - 1)
    everything.filter(truth=True).delete()
    everything.create(id="own", number=2, name="own", moment="2025-01-01T00:00Z")


OWN: Final[tuple[Callable[[str], None], ...]] = (create, change, delete)


def missing(alias: str) -> int:
    """The number of keys that rows refer to and no row has: each lookup of one is a read that finds no document."""
    links = [
        field
        for model in apps.get_app_config("differential").get_models()
        for field in model._meta.concrete_fields
        if field.remote_field is not None
    ]
    return sum(
        len(
            set(field.model._base_manager.using(alias).values_list(field.attname, flat=True))
            - {None, *field.remote_field.model._base_manager.using(alias).values_list("pk", flat=True)}
        )
        for field in links
    )


def checked(query: QuerySet[Any], connection: Any, absent: int) -> None:
    """Asserts that a query reads what `explain()` says. The bound counts documents, not lookups of absent ones."""
    text = query.explain()
    rows: list[Any] = []
    too_broad = False
    with CaptureRPCsContext(connection) as calls:
        try:
            rows = list(query)
        except QueryTooBroad:
            too_broad = True
    read = sum(call["documents_read"] for call in calls)
    once = sum(1 for call in calls if call["documents_read"] == 1)  # counted also for a query that finds nothing
    assert {call["lane"] for call in calls} <= {re.search(r"lane: (\w+)", text)[1]}, text  # type: ignore[index]
    bound = BOUND.search(text)
    if bound is None:
        assert text.startswith("lane: native"), text
        assert read <= max(1, len(rows)) * text.count("query "), text
        return
    slack = absent + (once if "QueryTooBroad" in text else 0)
    if too_broad:  # it is refused after the call that goes beyond the limit
        slack += max(call["documents_read"] for call in calls)
    assert read <= max(int(number) for number in bound.groups() if number) + slack, text
    assert not too_broad or "QueryTooBroad" in text or bound[2], text


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestExplain:
    """The bound of `explain()`, with and without a transaction's own rows."""

    @examples(EXAMPLES)
    @given(
        world=worlds(),
        queries=st.lists(plain() | plain() | stories() | trees(), min_size=QUERIES, max_size=QUERIES),
        own=st.lists(st.sampled_from(OWN), max_size=2, unique=True),
    )
    def test_reads_are_bounded(
        self, world: World, queries: list[Plain | Story | Tree], own: list[Callable[[str], None]]
    ) -> None:
        """The documents that are read are at most those that the plan names."""
        connection = connections["firestore"]
        world.fill("firestore")
        with pytest.MonkeyPatch.context() as patch, transaction.atomic("firestore"):
            for write in own:
                write("firestore")
            absent = missing("firestore")
            patch.setitem(connection.settings_dict["OPTIONS"], "mirror_limit", LIMIT)
            for query in queries:
                checked(
                    query.query("firestore") if isinstance(query, Tree) else query.rows("firestore"), connection, absent
                )
            transaction.set_rollback(True, "firestore")

    @examples(EXAMPLES_OF_ONE_TABLE)
    @given(
        records=rows(size=12),
        queries=st.lists(of_one_table(), min_size=QUERIES, max_size=QUERIES),
        own=st.booleans(),
    )
    def test_reads_of_one_table_are_bounded(
        self, records: list[dict[str, Any]], queries: list[OfOneTable], own: bool
    ) -> None:
        """Of every lookup and type of column; and counting and looking for a row read no more than the rows."""
        connection = connections["firestore"]
        fill("firestore", records)
        with pytest.MonkeyPatch.context() as patch, transaction.atomic("firestore"):
            if own:
                change_one_table("firestore")
            patch.setitem(connection.settings_dict["OPTIONS"], "mirror_limit", LIMIT)
            for query in queries:
                checked(query.rows("firestore"), connection, 0)
                for end in (QuerySet.count, QuerySet.exists):
                    bounded(query.rows("firestore"), end, connection)
            transaction.set_rollback(True, "firestore")


def bounded(query: QuerySet[Any], end: Callable[[QuerySet[Any]], Any], connection: Any) -> None:
    """Asserts that a count, or the look for a row, reads at most what the rows do; one for each empty result.

    Not of a count in the mirror: it loads the rows before they are sliced.
    """
    bound = BOUND.search(text := query.explain())
    if end is QuerySet.count and text.startswith("lane: mirror"):
        return
    with CaptureRPCsContext(connection) as calls:
        outcome(lambda: end(query))
    if bound is not None:
        slack = len(calls) + ("QueryTooBroad" in text)
        assert sum(call["documents_read"] for call in calls) <= int(bound[1]) + slack, (
            text,
            end,
            calls.captured_queries,
        )
