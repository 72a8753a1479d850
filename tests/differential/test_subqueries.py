"""Hypothesis searches for nested subqueries whose rows differ between the databases.

All rows are committed: in a transaction of a test's own the engine holds every row, whatever it would have read.
`DIFFERENTIAL_EXAMPLES=1250 pytest tests/differential/test_subqueries.py` compares 10,000 trees and 3,750 writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Label, Labelling, Person, Place, Work
from .queries import outcome
from .test_relations import World, worlds

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "15"))

TREES: Final = 8
"""Trees for each set of rows."""

WRITES: Final = 3

Model = type[models.Model]

NUMBERS: Final[Mapping[Model, tuple[str, ...]]] = {
    Person: ("id", "mentor_id"),
    Work: ("person_id", "editor_id", "year"),
    Place: (),
    Labelling: ("id",),
    Label: ("kind",),
}
TEXTS: Final[Mapping[Model, tuple[str, ...]]] = {
    Person: ("home_id",),
    Work: ("id",),
    Place: ("id", "country"),
    Labelling: ("work_id", "label_id"),
    Label: ("id",),
}
VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "id": (0, 1, "w0", "w1", "p0", "a"),
    "mentor_id": (0, 1, 2),
    "person_id": (0, 1, 2),
    "editor_id": (0, 1, 2),
    "year": (2000, 2001, 2002),
    "kind": (0, 1),
    "home_id": ("p0", "p1"),
    "country": ("x", "y"),
    "work_id": ("w0", "w1", "w2"),
    "label_id": ("a", "b"),
}
JOINS: Final[Mapping[Model, tuple[tuple[str, Any], ...]]] = {
    Person: (("home__country", "x"), ("mentor__home", "p0"), ("works__year__gte", 2001), ("pupils__id__lt", 3)),
    Work: (("person__home", "p1"), ("editor__mentor__isnull", True), ("labels__kind", 1), ("labels", "a")),
    Place: (("person__works__year", 2001), ("person__mentor", 1)),
    Labelling: (("work__person__home", "p0"), ("label__kind", 0)),
    Label: (("works__person", 1), ("works__year__lt", 2002)),
}
MODELS: Final = (Person, Work, Place, Labelling, Label)


@dataclass(frozen=True)
class Tree:
    """A query: conditions, each a name and its arguments; a slice by primary key; the column that it selects."""

    model: Model
    conditions: tuple[tuple[Any, ...], ...] = ()
    limits: tuple[int, int] | None = None
    column: str = "pk"
    window: bool = False

    def query(self, alias: str) -> QuerySet[Any]:
        """The queryset of one database."""
        query = self.model._default_manager.using(alias).all()
        for number, (name, *arguments) in enumerate(self.conditions):
            query = CONDITIONS[name](query, alias, f"c{number}", *arguments)
        if self.window:
            query = query.annotate(place=Window(RowNumber(), order_by="pk")).filter(place__lte=2)
        query = query.order_by("pk")
        return query if self.limits is None else query[self.limits[0] : self.limits[1]]


def nesting(tree: Tree) -> int:
    """The depth of nested queries, including the outermost one."""
    inner = [one for condition in tree.conditions for one in condition if isinstance(one, Tree)]
    return 1 + max(map(nesting, inner), default=0)


def _outer(column: str, level: int) -> Any:
    return OuterRef(column) if level == 1 else OuterRef(_outer(column, level - 1))


def _exists(query: QuerySet[Any], alias: str, _: str, tree: Tree, negated: bool) -> QuerySet[Any]:
    found = Exists(tree.query(alias))
    return query.filter(~found if negated else found)


def _flag(query: QuerySet[Any], alias: str, name: str, tree: Tree, wanted: bool) -> QuerySet[Any]:
    return query.annotate(**{name: Exists(tree.query(alias))}).filter(**{name: wanted})


def _among(query: QuerySet[Any], alias: str, _: str, column: str, tree: Tree, negated: bool) -> QuerySet[Any]:
    condition = Q(**{f"{column}__in": tree.query(alias).values(tree.column)})
    return query.filter(~condition if negated else condition)


def _scalar(query: QuerySet[Any], alias: str, _: str, lookup: str, tree: Tree, negated: bool) -> QuerySet[Any]:
    condition = Q(**{lookup: Subquery(tree.query(alias).values(tree.column)[:1])})
    return query.filter(~condition if negated else condition)


def _either(query: QuerySet[Any], alias: str, _: str, tree: Tree, path: str, value: Any) -> QuerySet[Any]:
    return query.filter(Q(Exists(tree.query(alias))) | Q(**{path: value}))


CONDITIONS: Final[Mapping[str, Any]] = {
    "is": lambda query, alias, name, path, value: query.filter(**{path: value}),
    "is not": lambda query, alias, name, path, value: query.exclude(**{path: value}),
    "outer": lambda query, alias, name, column, level, outer: query.filter(**{column: _outer(outer, level)}),
    "exists": _exists,
    "flag": _flag,
    "among": _among,
    "scalar": _scalar,
    "either": _either,
}


@st.composite
def trees(draw: st.DrawFn, around: tuple[Model, ...] = (), like: tuple[Model, str] | None = None) -> Tree:
    """A query inside of others, the nearest first; `like` is the column that it has to select one for."""
    model = draw(st.sampled_from(MODELS))
    column = "pk"
    if like is not None:
        kinds = NUMBERS if like[1] in NUMBERS[like[0]] else TEXTS
        model = draw(st.sampled_from([one for one in MODELS if kinds[one]]))
        column = draw(st.sampled_from(kinds[model]))
    conditions = []
    if around and draw(st.integers(0, 5)):
        conditions.append(draw(_outer_conditions(model, around)))
    count = draw(st.integers(0, 2 if around else 3))
    conditions += [draw(_conditions(model, around)) for _ in range(count)]
    low, size = draw(st.integers(0, 1)), draw(st.integers(1, 3))
    limits = (low, low + size) if draw(st.integers(0, 4)) == 0 else None
    return Tree(model, tuple(filter(None, conditions)), limits, column, draw(st.integers(0, 9)) == 0)


@st.composite
def _outer_conditions(draw: st.DrawFn, model: Model, around: tuple[Model, ...]) -> tuple[Any, ...] | None:
    pairs = [
        ("outer", column, level, outer)
        for level, other in enumerate(around, start=1)
        for kinds in (NUMBERS, TEXTS)
        for column in kinds[model]
        for outer in kinds[other]
    ]
    return draw(st.sampled_from(pairs)) if pairs else None


@st.composite
def _conditions(draw: st.DrawFn, model: Model, around: tuple[Model, ...]) -> tuple[Any, ...]:
    columns = (*NUMBERS[model], *TEXTS[model])
    column = draw(st.sampled_from(columns))
    values = [one for one in VALUES[column] if isinstance(one, int) is (column in NUMBERS[model])]
    path = draw(st.sampled_from([(column, value) for value in values] + list(JOINS[model])))
    names = ["is", "is not"]
    if len(around) < 3:
        names += ["exists", "exists", "flag", "among", "among", "scalar", "either"]
    name, negated = draw(st.sampled_from(names)), draw(st.booleans())
    inside = (model, *around)
    match name:
        case "exists" | "flag":
            return (name, draw(trees(inside)), negated)
        case "either":
            return (name, draw(trees(inside)), *path)
        case "among":
            return (name, column, draw(trees(inside, (model, column))), negated)
        case "scalar":
            lookup = column + draw(st.sampled_from(["", "__gt", "__lte"]))
            found = trees(inside, (model, column)).filter(lambda tree: tree.limits is None)
            return (name, lookup, draw(found), negated)
    return (name, *path)


@dataclass(frozen=True)
class Write:
    """An update or a delete of the rows that a tree selects."""

    tree: Tree
    name: str

    def run(self, alias: str) -> Any:
        """The reported number of written rows."""
        query = self.tree.query(alias).order_by()
        if self.name == "delete":
            return query._raw_delete(alias)
        column = {Work: "year", Label: "kind", Person: "home_id", Place: "country", Labelling: "label_id"}[
            self.tree.model
        ]
        if self.name == "constant":
            return query.update(**{column: "z" if column in TEXTS[self.tree.model] else 9})
        return query.update(**{column: F(column) + 1 if column in NUMBERS[self.tree.model] else F(column)})


# SQLite refuses an UPDATE of rows that a window chooses.
writes = st.builds(
    Write,
    trees().filter(lambda tree: tree.limits is None and not tree.window),
    st.sampled_from(["constant", "expression", "delete"]),
)


def rows_of(alias: str) -> list[Any]:
    """All rows of all models."""
    return [sorted(map(str, model._default_manager.using(alias).values())) for model in MODELS]


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestSubqueries:
    """Reads and writes of committed rows, chosen by subqueries up to four deep."""

    @examples(EXAMPLES)
    @given(
        world=worlds(),
        stories=st.lists(trees(), min_size=TREES, max_size=TREES),
        changes=st.lists(writes, min_size=WRITES, max_size=WRITES),
    )
    def test_same_rows(self, world: World, stories: list[Tree], changes: list[Write]) -> None:
        """The same rows, the same number written, and the same rows after it, or the same class of error."""
        for alias in ("default", "firestore"):
            world.fill(alias)
        for tree in stories:
            expected, found = (
                outcome(lambda alias=alias: [row.pk for row in tree.query(alias)])  # type: ignore[misc]  # noqa: B023
                for alias in ("default", "firestore")
            )
            assert found == expected, tree
        for change in changes:
            expected, found = (outcome(lambda alias=alias: change.run(alias)) for alias in ("default", "firestore"))  # type: ignore[misc]  # noqa: B023
            if found == "raised NotSupportedError" and nesting(change.tree) > 3:
                return  # SQLite's parser has a limit, which the statement's RETURNING reaches first
            assert found == expected, change
            assert rows_of("firestore") == rows_of("default"), change
