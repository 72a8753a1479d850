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
from django.db.models import F, Q, QuerySet
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.errors import QueryTooBroad
from memory.backends.firestore.testing import CaptureRPCsContext

from .examples import examples
from .models import Label, Person, Place, Work
from .test_relations import FORWARD, Story, World, stories, worlds
from .test_subqueries import Tree, trees

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))

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
    slack = absent + (too_broad + once if "QueryTooBroad" in text else 0)
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
