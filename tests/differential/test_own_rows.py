"""Hypothesis searches for queries of a transaction's own rows and committed ones whose results differ.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_own_rows.py` compares about 20,000 queries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import pytest
from django.db import models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Lower, RowNumber
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Identified, Named, Numbered
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "10"))

Model = type[models.Model]
Query = QuerySet[Any]

KEYS: Final[Mapping[Model, tuple[Any, ...]]] = {
    Numbered: (5, 3, 9, 1, -2, 0, 10**15, 2**53 + 1, 12, 11),
    Named: ("b", "a", "é", "Z", "10", "9", "aa", "~", "B", "c"),
    Identified: tuple(UUID(int=number) for number in (5, 2**127, 3, 2**64, 9, 1, 2**128 - 1, 0, 0xABC, 7)),
}
"""In no order."""

COMMITTED: Final = 6
"""The number of keys that committed rows may have; the others are for creating rows."""

NUMBERS: Final = st.integers(-3, 6)
REALS: Final = st.sampled_from([-1.5, 0.0, 0.25, 2.0, 1024.5])
"""Sums of these are exact in any order."""

NAMES: Final = st.sampled_from(["a", "A", "b", "B_", "é", ""])
MOMENTS: Final = st.sampled_from(
    [datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)]
    + [datetime(2025, 1, day, 12, tzinfo=UTC) for day in (1, 2, 9)]
)
VALUES: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "number": st.none() | NUMBERS,
    "size": NUMBERS,
    "real": st.none() | REALS,
    "name": NAMES,
    "truth": st.none() | st.booleans(),
    "moment": st.none() | MOMENTS,
}

# --- conditions ----------------------------------------------------------------------------------------------------


OF_FIRESTORE: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    **{f"size{op}": NUMBERS for op in ("", "__gt", "__gte", "__lt", "__lte")},
    **{f"number{op}": NUMBERS for op in ("", "__gt", "__lte")},
    "number__isnull": st.booleans(),
    "number__in": st.lists(NUMBERS, max_size=4),
    "size__range": st.tuples(NUMBERS, NUMBERS),
    "name": NAMES,
    "truth": st.booleans(),
}
"""What Firestore compares, so that it aggregates its own rows."""


def _one_of(paths: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Q]:
    return st.sampled_from(sorted(paths)).flatmap(lambda path: paths[path].map(lambda value: Q(**{path: value})))


def _fixed(model: Model) -> st.SearchStrategy[Q]:
    keys = st.sampled_from(KEYS[model])
    paths: dict[str, st.SearchStrategy[Any]] = {
        **OF_FIRESTORE,
        "real__gte": REALS,
        "real__in": st.lists(REALS, max_size=2),
        "name__icontains": NAMES,
        "name__startswith": NAMES,
        "name__gt": NAMES,
        "truth__isnull": st.booleans(),
        "moment__lt": MOMENTS,
        "moment__date": st.sampled_from([date(2024, 12, 31), date(2025, 1, 1)]),
        "moment__year": st.sampled_from([2024, 2025]),
        "pk": keys,
        "pk__in": st.lists(keys, max_size=5),
        "pk__gt": keys,
        "pk__lte": keys,
        "parent": keys,
        "parent__isnull": st.booleans(),
        "parent__size__gt": NUMBERS,
        "children__size": NUMBERS,
        "children__isnull": st.booleans(),
    }
    return _one_of(paths)


def conditions(model: Model) -> st.SearchStrategy[Q]:
    """A condition, or a few joined."""
    return _joined(_fixed(model) | st.sampled_from([Q(number=F("size")), Q(size__gt=F("number") + 1), Q()]))


def _joined(leaf: st.SearchStrategy[Q]) -> st.SearchStrategy[Q]:
    return st.recursive(
        leaf,
        lambda inside: st.one_of(
            st.tuples(inside, inside).map(lambda two: two[0] & two[1]),
            st.tuples(inside, inside).map(lambda two: two[0] | two[1]),
            inside.map(lambda one: ~one),
        ),
        max_leaves=3,
    )


# --- queries -------------------------------------------------------------------------------------------------------

ORDERS: Final = ("size", "number", "real", "name", "moment", "truth", "parent", "parent__size")
COLUMNS: Final = ("pk", "number", "size", "real", "name", "truth", "moment", "parent_id")


def _rows(found: Any) -> Any:
    return [tuple(getattr(row, name) for name in COLUMNS) for row in found]


AGGREGATES: Final = {
    "n": Count("pk"),
    "numbers": Count("number"),
    "sum": Sum("size"),
    "nulls": Sum("number"),
    "mean": Avg("size"),
    "least": Min("number"),
    "most": Max("size"),
    "first": Min("moment"),
}


def _aggregates(query: Query, condition: Q) -> Any:
    """Of rows, and of fewer rows. All at once, since one that the engine answers otherwise changes the way of all."""
    return [chosen.aggregate(**AGGREGATES) for chosen in (query, query.filter(condition), query.exclude(condition))]


def _filtered(query: Query, condition: Q) -> Any:
    return query.aggregate(
        n=Count("pk", filter=condition),
        sum=Sum("size", filter=condition),
        mean=Avg("number", filter=condition),
        reals=Sum("real", filter=condition),
        most=Max("real", filter=condition),
        least=Min("name", filter=condition),
        names=Count("name", distinct=True, filter=condition),
    )


def _groups(query: Query, condition: Q) -> Any:
    """Groups of each kind: with a filter of the aggregate, with a condition on it, and by an expression."""
    query = query.order_by()
    flag = Case(When(condition, then=Value(1)), default=Value(0))
    return [
        sorted(map(str, groups))
        for groups in (
            query.values("number").annotate(n=Count("pk"), s=Sum("size"), f=Count("pk", filter=condition)),
            query.values("truth").annotate(m=Max("size"), a=Avg("real")).filter(m__gt=0),
            query.values(low=Lower("name")).annotate(n=Count("pk", distinct=True)),
            query.values("parent__size").annotate(n=Count("pk")),
            query.annotate(flag=flag).values("flag").annotate(s=Sum("size")),
        )
    ]


def _related(query: Query, condition: Q) -> Any:
    own = query.model._default_manager.using(query.db)
    children = own.filter(condition, parent=OuterRef("pk"))
    return [
        sorted(map(str, found))
        for found in (
            query.order_by().annotate(n=Count("children"), m=Max("children__size")).values_list("pk", "n", "m"),
            query.order_by().filter(Exists(children)).values_list("pk"),
            query.order_by().filter(~Exists(children)).values_list("pk"),
            own.filter(pk__in=query.order_by().values("parent")).values_list("pk"),
            query.order_by()
            .annotate(last=Subquery(children.order_by("-size", "pk").values("size")[:1]))
            .values_list("pk", "last"),
            query.order_by().select_related("parent").values_list("pk", "parent__pk", "parent__name"),
        )
    ]


ENDS: Final[Mapping[str, Callable[[Query, Q], Any]]] = {
    "aggregates": _aggregates,
    "filtered": _filtered,
    "groups": _groups,
    "related": _related,
    "sliced": lambda query, _: query[1:4].aggregate(n=Count("pk"), s=Sum("size"), m=Max("number")),
    "deviation": lambda query, _: query.aggregate(d=StdDev("size"), s=Sum("size", distinct=True)),
    "expression": lambda query, _: query.aggregate(s=Sum(F("size") * 2 + 1), t=Sum("size") - Count("pk")),
    "by related": lambda query, _: query.aggregate(s=Sum("parent__size"), n=Count("children")),
    "rows": lambda query, _: _rows(query),
    "values": lambda query, _: list(query.values("pk", "name", "real")),
    "distinct": lambda query, _: [
        sorted(map(str, query.order_by().values_list(name).distinct())) for name in ("number", "name", "truth")
    ],
    "distinct rows": lambda query, _: _rows(query.distinct()),
    "count": lambda query, condition: (query.count(), query.filter(condition).count(), query[1:3].count()),
    "exists": lambda query, condition: (query.exists(), query.filter(condition).exists(), query[2:].exists()),
    "ends": lambda query, _: [_rows(filter(None, [row])) for row in (query.first(), query.last(), query.reverse()[:1])],
    "slice": lambda query, _: (_rows(query[:2]), _rows(query[2:5])),
    "latest": lambda query, _: _rows([query.latest("size", "pk"), query.earliest("name", "pk")]),
    "get": lambda query, condition: _rows([query.get(condition)]),
    "in_bulk": lambda query, _: sorted(map(str, query.order_by().in_bulk(KEYS[query.model][::2]))),
    "union": lambda query, condition: sorted(
        map(
            str,
            query.order_by().values_list("pk", "size").union(_all(query).filter(condition).values_list("pk", "number")),
        )
    ),
    "difference": lambda query, condition: sorted(
        map(str, query.order_by().values_list("pk").difference(_all(query).filter(condition).values_list("pk")))
    ),
    "window": lambda query, _: list(
        query.annotate(place=Window(RowNumber(), partition_by="truth", order_by=["size", "pk"])).values_list(
            "pk", "place"
        )
    ),
    "months": lambda query, _: list(query.order_by().datetimes("moment", "month")),
    "contains": lambda query, _: [query.contains(query.model(pk=key)) for key in KEYS[query.model][:3]],
}


OFTEN: Final = ("aggregates", "filtered", "groups", "count", "exists", "ends")
"""What the engine answers from its own rows and Firestore's, or may be wrong about without an error."""


def _all(query: Query) -> Query:
    return query.model._default_manager.using(query.db).all()


@dataclass(frozen=True)
class Ask:
    """A query: a filter or an exclusion, an order, and what is asked of it."""

    condition: Q
    method: str
    order: tuple[str, ...]
    end: str
    other: Q

    def run(self, query: Query) -> Any:
        """The answer."""
        return ENDS[self.end](getattr(query, self.method)(self.condition).order_by(*self.order, "pk"), self.other)


# --- writes --------------------------------------------------------------------------------------------------------


def _put(query: Query, rows: tuple[Any, ...]) -> Any:
    query.bulk_create(
        [query.model(**row) for row in rows],
        update_conflicts=True,
        unique_fields=["pk"],
        update_fields=["size", "name", "number"],
    )


def _save(query: Query, rows: tuple[Any, ...]) -> Any:
    for row in rows:
        query.model(**row).save(using=query.db)


def _update_each(query: Query, rows: tuple[Any, ...]) -> Any:
    """With values that the statement sets without a read, and with some that it computes."""
    for row in rows:
        query.filter(pk=row["id"]).update(number=row["number"], real=row["real"], size=F("size") + row["size"])


def _bulk_update(query: Query, rows: tuple[Any, ...]) -> Any:
    query.bulk_update([query.model(**row) for row in rows], ["size", "moment", "parent"])


WRITES: Final[Mapping[str, Callable[[Query, Any], Any]]] = {
    "create": lambda query, rows: [query.create(**row) and None for row in rows],
    "bulk create": lambda query, rows: query.bulk_create([query.model(**row) for row in rows]) and None,
    "ignore": lambda query, rows: (
        query.bulk_create([query.model(**row) for row in rows], ignore_conflicts=True) and None
    ),
    "put": _put,
    "save": _save,
    "update each": _update_each,
    "bulk update": _bulk_update,
    "set": lambda query, condition: (
        _all(query).filter(pk__in=query.filter(condition).values("pk")).update(name="b", truth=True)
    ),
    "add": lambda query, condition: query.filter(condition).update(size=F("size") - 2, number=F("number") + F("size")),
    "delete": lambda query, condition: query.filter(condition).delete()[0],
    "delete keys": lambda query, keys: query.filter(pk__in=keys).delete()[0],
    "delete each": lambda query, keys: [row.delete()[0] for row in query.filter(pk__in=keys).order_by("pk")],
}


@dataclass(frozen=True)
class Write:
    """A write of the transaction."""

    name: str
    argument: Any

    def run(self, query: Query) -> Any:
        """What the statement returns."""
        return WRITES[self.name](query, self.argument)


class UndoError(Exception):
    """Leaves a block."""


@dataclass(frozen=True)
class Block:
    """Steps in a savepoint, which may be rolled back."""

    steps: tuple[Any, ...]
    undone: bool

    def run(self, query: Query) -> Any:
        """The answers of the steps."""
        answers: list[Any] = []
        try:
            with transaction.atomic(query.db):
                answers += [step.run(query.all()) for step in self.steps]
                if self.undone:
                    raise UndoError
        except UndoError:
            pass
        return answers


@dataclass(frozen=True)
class Story:
    """Committed rows, and the steps of a transaction."""

    model: Model
    committed: tuple[Mapping[str, Any], ...]
    steps: tuple[Write | Ask | Block, ...]
    kept: bool

    def run(self, alias: str) -> list[Any]:
        """The answers in the transaction, and the rows after it."""
        query = self.model._default_manager.using(alias)
        query.all()._raw_delete(alias)  # type: ignore[attr-defined]
        query.bulk_create([self.model(**row) for row in self.committed])
        answers: list[Any] = []
        try:
            with transaction.atomic(alias):
                answers += [outcome(lambda step=step: step.run(query.all())) for step in self.steps]  # type: ignore[misc]
                if not self.kept:
                    raise UndoError
        except UndoError:
            pass
        return [*answers, outcome(lambda: _rows(query.order_by("pk")))]


@st.composite
def asks(draw: st.DrawFn, model: Model) -> Ask:
    """A query."""
    orders = st.tuples(st.sampled_from(["", "-"]), st.sampled_from(ORDERS)).map("".join)
    return Ask(
        draw(conditions(model)),
        draw(st.sampled_from(["filter", "filter", "exclude"])),
        tuple(draw(st.lists(orders, max_size=2, unique_by=lambda name: name.lstrip("-")))),
        draw(st.sampled_from([*OFTEN * 3, *ENDS])),
        draw(conditions(model)),
    )


def _values(model: Model, keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Mapping[str, Any]]:
    parents = st.none() | st.sampled_from(KEYS[model])
    return st.fixed_dictionaries({"id": keys, **VALUES, "parent_id": parents})


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Rows in any order of their keys, and up to ten steps. Created rows have keys that no row has had."""
    model = draw(st.sampled_from([Numbered, *KEYS]))
    old, new = st.sampled_from(KEYS[model][:COMMITTED]), list(draw(st.permutations(KEYS[model][COMMITTED:])))
    old_rows = st.lists(_values(model, old), min_size=1, max_size=3, unique_by=lambda row: row["id"]).map(tuple)
    committed = draw(st.lists(_values(model, old), max_size=5, unique_by=lambda row: row["id"]))

    def steps(depth: int, least: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(draw(st.integers(least, 4))):
            found += [_write() for _ in range(draw(st.integers(0, 2)))]
            found.append(draw(asks(model)))
            if depth and draw(st.integers(0, 3)) == 0:
                found.append(Block(tuple(steps(0, 1)), draw(st.booleans())))
        return found

    def _write() -> Write:
        name = draw(st.sampled_from(sorted(WRITES)))
        if name in ("create", "bulk create"):
            count = draw(st.integers(1, 3))
            keys = [new.pop() for _ in range(min(count, len(new)))]
            return Write(name, tuple(draw(_values(model, st.just(key))) for key in keys))
        if name in ("set", "add", "delete"):
            return Write(name, draw(conditions(model)))
        if name.startswith("delete"):
            return Write(name, draw(st.lists(st.sampled_from(KEYS[model]), max_size=3)))
        return Write(name, draw(old_rows))

    return Story(model, tuple(committed), tuple(steps(1, 2)), draw(st.booleans()))


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestOwnRows:
    """Aggregates, groups and rows of what a transaction has written, and of what it has not."""

    @examples(EXAMPLES)
    @given(stories())
    def test_same_answers(self, story: Story) -> None:
        """The same answers of every step, or the same class of error, and the same rows after the transaction."""
        expected, found = (story.run(alias) for alias in ("default", "firestore"))
        for step, one, other in zip((*story.steps, "rows"), expected, found, strict=True):
            assert other == one, step

    @examples(EXAMPLES)
    @given(st.data(), st.sampled_from([Numbered, Numbered, Named, Identified]))
    def test_same_aggregates(self, data: st.DataObject, model: Model) -> None:
        """Of many rows, written in any order of their keys, and of many conditions."""
        rows = data.draw(
            st.lists(_values(model, st.sampled_from(KEYS[model])), min_size=3, unique_by=lambda row: row["id"])
        )
        committed = data.draw(st.integers(0, len(rows)))
        again = data.draw(st.lists(_values(model, st.sampled_from(KEYS[model])), max_size=4))
        asked = data.draw(st.lists(_joined(_one_of(OF_FIRESTORE)), min_size=6, max_size=6))
        answers = []
        for alias in ("default", "firestore"):
            query = model._default_manager.using(alias)
            query.all()._raw_delete(alias)  # type: ignore[attr-defined]
            query.bulk_create([model(**row) for row in rows[:committed]])
            with transaction.atomic(alias):
                for row in (*rows[committed:], *again):
                    model(**row).save(using=alias)
                answers.append([outcome(lambda: _aggregates(query.all(), one)) for one in asked])  # noqa: B023
                transaction.set_rollback(True, alias)
        for one, expected, found in zip(asked, *answers, strict=True):
            assert found == expected, one
