"""Queries whose shape is known have the plans and the answers of those that are compiled, whatever their values.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_known_queries.py` is the long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.db import connections
from django.db.models import Q, QuerySet
from hypothesis import event, given
from hypothesis import strategies as st

from memory.backends.firestore.compilers import known_queries
from memory.backends.firestore.query import analysis

from .examples import examples
from .models import Everything
from .queries import COMPARISONS, JSON_LOOKUPS, ORDERED, PARTS, TEXT, VALUES, outcome, rows
from .test_queries import fill

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "12"))

VALUES_OF: Final = {**VALUES, "id": TEXT}
LOOKUPS: Final[dict[str, st.SearchStrategy[Any]]] = {
    **{f"{name}__{op}": VALUES_OF[name] for name in ORDERED for op in COMPARISONS},
    **{name: VALUES_OF[name] for name in VALUES},
    **{f"{name}__in": st.lists(VALUES_OF[name], max_size=3) for name in ORDERED},
    **{f"{name}__range": st.tuples(VALUES_OF[name], VALUES_OF[name]) for name in ORDERED},
    **{f"{name}__isnull": st.booleans() for name in VALUES},
    **{f"{name}__startswith": TEXT for name in ("name", "text")},
    **{f"{name}__{part}": values for name, parts in PARTS.items() for part, values in parts},
    **dict(JSON_LOOKUPS),
}
JOINED: Final[tuple[Callable[[Q, Q], Q], ...]] = (
    lambda one, other: one & other,
    lambda one, other: one & ~other,
    lambda one, other: one | other,
)


def pks(query: QuerySet[Any]) -> list[Any]:
    """The keys of the rows."""
    return [row.pk for row in query]


SHAPES: Final[dict[str, tuple[Callable[[QuerySet[Any]], QuerySet[Any]], Callable[[QuerySet[Any]], Any]]]] = {
    "rows": (lambda query: query, lambda query: [(one.pk, one.data, one.instant) for one in query]),
    "deferred": (lambda query: query.only("name"), lambda query: [(one.pk, one.name) for one in query]),
    "values": (lambda query: query.values("data", "id"), list),
    "tuples": (lambda query: query.values_list("instant", "number"), list),
    "named": (lambda query: query.values_list("pk", "real", named=True), lambda query: [tuple(one) for one in query]),
    "flat": (lambda query: query.values_list("pk", flat=True), list),
    "exists": (lambda query: query, lambda query: query.exists()),
    "first": (lambda query: query, lambda query: getattr(query.first(), "pk", None)),
    "reversed": (
        lambda query: query if query.query.is_sliced else query.reverse(),
        lambda query: [x.pk for x in query],
    ),
}
"""What is selected, and the answer."""


@dataclass(frozen=True)
class Shape:
    """What the queries of one example have in common."""

    lookups: tuple[str, ...]
    join: int
    order: tuple[str, ...]
    end: str

    def query(self, alias: str, values: tuple[Any, ...], window: tuple[int, int | None]) -> QuerySet[Any]:
        """The queryset with these values."""
        query: QuerySet[Any] = Everything.objects.using(alias)
        leaves = [Q(**{lookup: value}) for lookup, value in zip(self.lookups, values, strict=True)]
        if leaves:
            condition = leaves[0]
            for leaf in leaves[1:]:
                condition = JOINED[self.join](condition, leaf)
            query = query.filter(condition)
        selected: QuerySet[Any] = SHAPES[self.end][0](query.order_by(*self.order, "pk"))
        return selected[window[0] : window[1]]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, list[tuple[tuple[Any, ...], tuple[int, int | None]]]]:
    """A shape, and the values and slices of several queries."""
    lookups = tuple(draw(st.lists(st.sampled_from(sorted(LOOKUPS)), max_size=3)))
    order = draw(st.lists(st.sampled_from([*ORDERED, *(f"-{name}" for name in ORDERED)]), max_size=1))
    shape = Shape(lookups, draw(st.integers(0, len(JOINED) - 1)), tuple(order), draw(st.sampled_from(sorted(SHAPES))))
    window = st.tuples(st.sampled_from([0, 0, 1]), st.sampled_from([None, 2, 5]))
    values = st.tuples(*(LOOKUPS[lookup] for lookup in lookups))
    return shape, draw(st.lists(st.tuples(values, window), min_size=3, max_size=3))


def compared(query: Any, connection: Any) -> str:
    """Asserts that the plan is that of a query that is compiled. Returns how it was found."""
    compiler = query.chain().get_compiler(connection=connection)
    shape = known_queries.shape_of(compiler.query)
    known = None if shape is None else known_queries.find(shape, compiler.query, connection)
    if known is None:
        return "not known"
    plan = outcome_of(lambda: known.plan_of(known.select_of(compiler)))
    again = query.chain().get_compiler(connection=connection)
    assert repr(plan) == repr(outcome_of(lambda: analysis.plan_rows(again.analyzed())))
    return f"known, {type(plan).__name__}"


def outcome_of(action: Callable[[], Any]) -> Any:
    """The plan itself, or the class of the error."""
    try:
        return action()
    except (ValueError, TypeError, OverflowError) as error:
        return type(error)


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestKnownQueries:
    """Several queries of one shape."""

    @examples(EXAMPLES)
    @given(records=rows(), case=cases())
    def test_same_plan_and_answer(self, records: list[dict[str, Any]], case: Any) -> None:
        """Each query has the plan that it has without the cache, and SQLite's answer, the first time and again."""
        shape, several = case
        connection = connections["firestore"]
        for alias in ("default", "firestore"):
            fill(alias, records)
        connection.cache.queries.clear()
        end = SHAPES[shape.end][1]
        for values, window in several:
            expected = outcome(lambda values=values, window=window: end(shape.query("default", values, window)))  # type: ignore[misc]
            query = shape.query("firestore", values, window)
            for _ in range(2):
                assert outcome(lambda query=query: end(query.all())) == expected  # type: ignore[misc]
            event(compared(query.query.exists() if shape.end == "exists" else query.query, connection))


@pytest.mark.django_db(databases=["firestore"], transaction=True)
def test_equal_values_are_distinguished_by_type() -> None:
    """1, 1.0 and True are equal to Python, and not to Firestore's keys of JSON."""
    stored = [1, 1.0, True, "1"]
    fill(
        "firestore",
        [
            {"id": str(place), "number": 1, "name": "1", "moment": "2025-01-01T00:00Z", "data": {"a": value}}
            for place, value in enumerate(stored)
        ],
    )
    everything = Everything.objects.using("firestore").order_by("pk")
    for _ in range(2):
        for value, number in [(1, 1), (True, 1), ("1", 1), (1.0, 1)]:
            same = [one for one in stored if one == value and isinstance(one, bool) is (value is True)]
            assert [one.data["a"] for one in everything.filter(data__a=value, number=number)] == same
