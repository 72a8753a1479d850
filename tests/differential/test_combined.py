"""Hypothesis searches for unions, differences and intersections that SQLite and the engine answer differently.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_combined.py` compares 4,000 combined queries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from django.db import models, transaction
from django.db.models import Q, Value
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples
from .models import Label, Numbered
from .queries import outcome

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "12"))
BOTH: Final = ("default", "firestore")

COLUMNS: Final[Mapping[type[models.Model], str]] = {Numbered: "size", Label: "kind"}
NEVER: Final = Q(pk__in=[])
METHODS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "union": lambda one, other: one.union(other),
    "union all": lambda one, other: one.union(other, all=True),
    "difference": lambda one, other: one.difference(other),
    "intersection": lambda one, other: one.intersection(other),
}
VERBS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "list": lambda query: sorted(query),
    "in order": lambda query: list(query.order_by(*query.query.values_select[:1], "part")),
    "slice": lambda query: len(query[1:3]),
    "first": lambda query: query.order_by(*query.query.values_select[:1], "part").first(),
    "count": lambda query: query.count(),
    "exists": lambda query: query.exists(),
}


@dataclass(frozen=True)
class Part:
    """A query of one table for its number, and a number of its own."""

    model: type[models.Model]
    condition: Callable[[str], Q]
    nested: bool
    part: int

    def query(self, alias: str) -> Any:
        """The rows of a database."""
        column = COLUMNS[self.model]
        rows = self.model._default_manager.using(alias).filter(self.condition(column))
        if self.nested:
            rows = rows.filter(**{f"{column}__in": Label.objects.using(alias).values("kind")})
        return rows.annotate(part=Value(self.part)).order_by().values_list(column, "part")


def conditions() -> st.SearchStrategy[Callable[[str], Q]]:
    """Conditions of a column, some of which no row can meet, or all do."""
    number = st.integers(0, 4)
    leaf = st.one_of(
        st.just(lambda column: NEVER),
        st.just(lambda column: ~NEVER),
        number.map(lambda n: lambda column: Q(**{f"{column}__gte": n})),
        number.map(lambda n: lambda column: Q(**{column: n})),
    )
    both = st.tuples(leaf, leaf)
    return st.one_of(
        leaf,
        both.map(lambda two: lambda column: two[0](column) & two[1](column)),
        both.map(lambda two: lambda column: two[0](column) | two[1](column)),
    )


PARTS: Final = st.builds(Part, st.sampled_from(list(COLUMNS)), conditions(), st.booleans(), st.integers(0, 1))


def _answers(alias: str, numbers: Sequence[int], first: Part, more: Sequence[tuple[str, Part]]) -> dict[str, Any]:
    Numbered.objects.using(alias).all()._raw_delete(alias)  # type: ignore[attr-defined]
    Label.objects.using(alias).all()._raw_delete(alias)  # type: ignore[attr-defined]
    Numbered.objects.using(alias).bulk_create(Numbered(id=i, size=n, name="") for i, n in enumerate(numbers))
    Label.objects.using(alias).bulk_create(Label(id=str(n), kind=n) for n in range(3))
    query = first.query(alias)
    for method, part in more:
        query = METHODS[method](query, part.query(alias))
    return {name: outcome(partial(verb, query.all())) for name, verb in VERBS.items()}


@pytest.mark.django_db(databases=BOTH, transaction=True)
class TestCombined:
    """Combined queries of one and two tables."""

    @examples(EXAMPLES)
    @given(
        st.lists(st.integers(0, 4), max_size=5),
        PARTS,
        st.lists(st.tuples(st.sampled_from(list(METHODS)), PARTS), min_size=1, max_size=2),
        st.booleans(),
    )
    def test_same_rows(
        self, numbers: list[int], first: Part, more: list[tuple[str, Part]], in_transaction: bool
    ) -> None:
        """Both databases have the same rows, in any part's absence, committed and in a transaction."""
        with ExitStack() as stack:
            for alias in BOTH if in_transaction else ():
                stack.enter_context(transaction.atomic(alias))
            expected, found = (_answers(alias, numbers, first, more) for alias in BOTH)
        assert found == expected
