"""Hypothesis searches for queries over relations whose results differ between the databases.

`DIFFERENTIAL_EXAMPLES=5000 pytest tests/differential` is the long run; a hundred are the default. Of writes,
`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_relations.py -k writes` compares 3,000.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.db import models
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Label, Labelling, Person, Place, Work
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "100"))
EXAMPLES_OF_WRITES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "8"))

PLACES: Final = st.sampled_from(["p0", "p1", "gone"])
COUNTRIES: Final = st.sampled_from(["x", "y"])
PEOPLE: Final = st.integers(0, 4)
LABELS: Final = st.sampled_from(["a", "b", "c"])
KINDS: Final = st.integers(0, 1)
YEARS: Final = st.integers(2000, 2003)
TRUTHS: Final = st.booleans()

# Conditions by model: the path, and the values to compare with.
OF_PERSON: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "home": PLACES,
    "home__country": COUNTRIES,
    "mentor": PEOPLE,
    "mentor__isnull": TRUTHS,
    "mentor__home__country": COUNTRIES,
    "pk__in": st.lists(PEOPLE, max_size=3),
}
FORWARD: Final[Mapping[type[models.Model], Mapping[str, st.SearchStrategy[Any]]]] = {
    Person: OF_PERSON,
    Work: {
        "year": YEARS,
        "year__gt": YEARS,
        "editor__isnull": TRUTHS,
        "person": PEOPLE,
        **{f"person__{path}": values for path, values in OF_PERSON.items()},
        **{f"editor__{path}": values for path, values in OF_PERSON.items()},
    },
}
BACKWARD: Final[Mapping[type[models.Model], Mapping[str, st.SearchStrategy[Any]]]] = {
    Person: {
        "works__year": YEARS,
        "works__labels": LABELS,
        "edited__year__gte": YEARS,
        "edited__isnull": TRUTHS,
        "pupils__home__country": COUNTRIES,
        "pupils__works__labels__kind": KINDS,
    },
    Work: {
        "labels": LABELS,
        "labels__kind": KINDS,
        "labels__isnull": TRUTHS,
        "person__works__year": YEARS,
        "labels__works__person": PEOPLE,
    },
}
ORDERS: Final = {
    Person: ["home", "-home__country", "mentor__home", "-pk"],
    Work: ["year", "-year", "person__home__country", "-editor__mentor", "-pk"],
}
BESIDE: Final = {
    Person: ["home", "mentor", "mentor__home"],
    Work: ["person", "editor", "person__home", "editor__mentor"],
}
COUNTED: Final = {Person: ["works", "edited", "pupils", "works__labels"], Work: ["labels", "person__works"]}
ENDS: Final = ("rows", "values", "count", "exists", "aggregate", "grouped")


@dataclass(frozen=True)
class World:
    """Rows of every model."""

    rows: Mapping[type[models.Model], list[dict[str, Any]]]

    def fill(self, alias: str) -> None:
        """Makes these the only records of a database."""
        for model, rows in self.rows.items():
            model.objects.using(alias).all()._raw_delete(alias)  # type: ignore[attr-defined]
            model.objects.using(alias).bulk_create(model(**values) for values in rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Story:
    """A query, as data."""

    model: type[models.Model]
    steps: tuple[tuple[str, Any], ...] = ()
    orders: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    start: int = 0
    stop: int | None = None
    end: str = "rows"

    def steps_of(self, alias: str) -> QuerySet[Any]:
        """The query before its order, its slice and its final action."""
        query: QuerySet[Any] = self.model._default_manager.using(alias)
        for name, argument in self.steps:
            query = STEPS[name](query, argument, alias)
        return query

    def rows(self, alias: str) -> QuerySet[Any]:
        """The query for rows, in order and sliced."""
        query = self.steps_of(alias).order_by(*self.orders, "pk")
        if self.beside:
            query = query.select_related(*self.beside)
        return query[self.start : self.stop]

    def run(self, alias: str) -> Any:
        """The answer of one database."""
        query = self.steps_of(alias)
        if self.end == "grouped":
            grouped = query.order_by().values(self.beside[0] if self.beside else "pk").annotate(n=Count("pk"))
            return sorted(map(str, grouped))
        query = query.order_by(*self.orders, "pk")
        if self.end == "aggregate":
            return query.aggregate(n=Count("pk"), most=Max("pk"))
        if self.beside and self.end == "rows":
            query = query.select_related(*self.beside)
        query = query[self.start : self.stop]
        if self.end in ("count", "exists"):
            return getattr(query, self.end)()
        if self.end == "values":
            return list(query.values_list("pk", *self.beside))
        return [(row.pk, *sorted((k, str(v)) for k, v in row._state.fields_cache.items())) for row in query]


STEPS: Final = {
    "filter": lambda query, condition, alias: query.filter(condition),
    "exclude": lambda query, condition, alias: query.exclude(condition),
    "count": lambda query, path, alias: query.annotate(n=Count(path)).filter(n__gt=0),
    "distinct": lambda query, _, alias: query.distinct(),
    "among": lambda query, condition, alias: query.filter(
        pk__in=query.model._default_manager.using(alias).filter(condition).values("pk")
    ),
    "exists": lambda query, negated, alias: query.filter(_of_owner(alias, query.model, Exists, negated)),
    "latest": lambda query, year, alias: query.annotate(last=_latest(alias, query.model)).filter(last__gte=year),
}


CHANGES: Final[Mapping[str, Mapping[type[models.Model], Mapping[str, Any]]]] = {
    "constants": {Person: {"home": "p1"}, Work: {"year": 2002, "editor": None}},
    "expressions": {
        Person: {"mentor": F("id"), "home": "p0"},
        Work: {"year": F("year") + 1, "editor": F("person")},
    },
    "condition": {
        Person: {"home": Case(When(mentor=None, then=Value("p1")), default=F("home"))},
        Work: {"year": Case(When(year__gt=2001, then=F("year") * 2), default=Value(1999))},
    },
}
"""What an update sets."""


@dataclass(frozen=True)
class Change:
    """An update or a deletion of the rows that conditions through joins choose."""

    model: type[models.Model]
    steps: tuple[tuple[str, Any], ...]
    name: str

    def run(self, alias: str) -> Any:
        """The reported number of rows. Deletions cascade to nothing: no foreign key is followed.

        SQLite 3.40 evaluates a correlated subquery again for each row that it updates, after it has updated others;
        3.54 does not. So its rows are chosen first.
        """
        query = Story(self.model, self.steps).steps_of(alias).order_by()
        if self.name == "delete":
            return query.delete()[0]
        if alias == "default" and self.model is Work and any(name == "latest" for name, _ in self.steps):
            query = Work.objects.using(alias).filter(pk__in=list(query.values_list("pk", flat=True)))
        return query.update(**CHANGES[self.name][self.model])


def _own_works(alias: str, model: type[models.Model]) -> QuerySet[Any]:
    """The works of a person, or of a work's person."""
    return Work.objects.using(alias).filter(person=OuterRef("pk" if model is Person else "person"))


def _of_owner(alias: str, model: type[models.Model], exists: type[Exists], negated: bool) -> Any:
    found = exists(_own_works(alias, model).filter(labels__kind=1))
    return ~found if negated else found


def _latest(alias: str, model: type[models.Model]) -> Subquery:
    return Subquery(_own_works(alias, model).order_by("-year").values("year")[:1])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A few rows of each model; some keys reference missing rows."""
    people = draw(st.sets(PEOPLE, max_size=5))
    works = draw(st.sets(st.sampled_from([f"w{i}" for i in range(6)]), max_size=6))
    labellings = draw(st.lists(st.tuples(st.sampled_from([f"w{i}" for i in range(6)]), LABELS), max_size=6))
    return World(
        {
            Labelling: [{"id": i, "work_id": work, "label_id": label} for i, (work, label) in enumerate(labellings)],
            Work: [
                {
                    "id": work,
                    "person_id": draw(PEOPLE),
                    "editor_id": draw(st.none() | PEOPLE),
                    "year": draw(YEARS),
                }
                for work in sorted(works)
            ],
            Person: [
                {"id": person, "home_id": draw(PLACES), "mentor_id": draw(st.none() | PEOPLE)}
                for person in sorted(people)
            ],
            Place: [{"id": place, "country": draw(COUNTRIES)} for place in ("p0", "p1")],
            Label: [{"id": label, "kind": draw(KINDS)} for label in ("a", "b")],
        }
    )


def conditions(model: type[models.Model]) -> st.SearchStrategy[Q]:
    """A condition, or two joined."""
    paths = {**FORWARD[model], **BACKWARD[model]}
    leaf = st.sampled_from(sorted(paths)).flatmap(lambda path: paths[path].map(lambda value: Q(**{path: value})))
    two = st.tuples(leaf, leaf)
    return leaf | two.map(lambda pair: pair[0] | pair[1]) | two.map(lambda pair: pair[0] & ~pair[1])


def _with_one_of_each(steps: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """The steps, with one of a name where they make an annotation of that name."""
    named = {name: (name, argument) for name, argument in steps if name in ("count", "latest")}
    return (*(step for step in steps if step[0] not in named), *named.values())


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Up to three steps, an order, a slice, and a final action."""
    model = draw(st.sampled_from([Person, Work]))
    condition = conditions(model)
    step = (
        st.tuples(st.sampled_from(["filter", "filter", "exclude", "among"]), condition)
        | st.tuples(st.just("count"), st.sampled_from(COUNTED[model]))
        | st.tuples(st.just("distinct"), st.none())
        | st.tuples(st.just("exists"), TRUTHS)
        | st.tuples(st.just("latest"), YEARS)
    )
    low, size = draw(st.integers(0, 2)), draw(st.none() | st.integers(1, 3))
    return Story(
        model,
        _with_one_of_each(draw(st.lists(step, max_size=3))),
        tuple(draw(st.lists(st.sampled_from(ORDERS[model]), max_size=2, unique=True))),
        tuple(draw(st.lists(st.sampled_from(BESIDE[model]), max_size=2, unique=True))),
        low,
        None if size is None else low + size,
        draw(st.sampled_from(ENDS)),
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One to three conditions, through forward, backward and many-to-many joins."""
    model = draw(st.sampled_from([Person, Work]))
    condition = conditions(model)
    step = (
        st.tuples(st.sampled_from(["filter", "filter", "exclude", "among"]), condition)
        | st.tuples(st.just("exists"), TRUTHS)
        | st.tuples(st.just("latest"), YEARS)
    )
    steps = _with_one_of_each(draw(st.lists(step, min_size=1, max_size=3)))
    return Change(model, steps, draw(st.sampled_from([*CHANGES, "delete"])))


def _all_rows(alias: str) -> list[Any]:
    return [sorted(map(str, model._default_manager.using(alias).values())) for model in (Place, Person, Work)]


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestRelations:
    """Joins, subqueries and counts over relations, forwards and backwards."""

    @examples(EXAMPLES)
    @given(world=worlds(), stories=st.lists(stories(), min_size=4, max_size=4))
    def test_same_answer(self, world: World, stories: list[Story]) -> None:
        """The same rows, numbers and counts, or the same class of error."""
        for alias in ("default", "firestore"):
            world.fill(alias)
        for story in stories:
            expected, found = (outcome(lambda alias=alias: story.run(alias)) for alias in ("default", "firestore"))  # type: ignore[misc]  # noqa: B023
            assert found == expected, story

    @examples(EXAMPLES_OF_WRITES)
    @given(world=worlds(), made=st.lists(changes(), min_size=3, max_size=3))
    def test_same_writes(self, world: World, made: list[Change]) -> None:
        """Updates and deletions report the same number and leave the same rows, or raise the same class of error."""
        for alias in ("default", "firestore"):
            world.fill(alias)
        for change in made:
            expected, found = (outcome(lambda alias=alias: change.run(alias)) for alias in ("default", "firestore"))  # type: ignore[misc]  # noqa: B023
            assert found == expected, change
            assert _all_rows("firestore") == _all_rows("default"), change
