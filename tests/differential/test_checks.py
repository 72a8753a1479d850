"""Hypothesis searches for check constraints that SQLite and the engine decide differently.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_checks.py` decides 1,000 constraints on eight rows each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import pytest
from django.db import connections
from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Abs, Coalesce, Length, Lower
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.constraints.definitions import Check
from memory.backends.firestore.constraints.evaluate import violated_checks

from .examples import examples
from .models import Numbered
from .test_own_rows import VALUES

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "25"))

NUMBERS: Final = st.one_of(
    st.integers(-3, 6),
    st.sampled_from(
        [F("number"), F("size"), F("size") + 1, -F("number"), F("size") * F("number"), Abs("number"), Length("name")]
    ),
    st.sampled_from(
        [Coalesce("number", Value(2)), Case(When(size__gt=F("number"), then=F("number")), default=F("size"))]
    ),
)
LOOKUPS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    **{f"{name}{op}": NUMBERS for name in ("number", "size") for op in ("", "__gt", "__lte")},
    **{f"{name}__range": st.tuples(NUMBERS, NUMBERS) for name in ("number", "size", "real")},
    **{f"{name}__in": st.lists(NUMBERS, min_size=1, max_size=3) for name in ("number", "size")},
    "real__gte": NUMBERS,
    "number__isnull": st.booleans(),
    "name__in": st.lists(st.sampled_from(["a", "B_", F("name"), Lower("name")]), min_size=1, max_size=2),
    "name__startswith": st.sampled_from(["a", "", "b"]),
    "truth": st.booleans(),
}
CONDITIONS: Final = st.recursive(
    st.sampled_from(sorted(LOOKUPS)).flatmap(lambda name: LOOKUPS[name].map(lambda value: Q(**{name: value}))),
    lambda inside: st.one_of(
        st.tuples(inside, inside).map(lambda two: two[0] & two[1]),
        st.tuples(inside, inside).map(lambda two: two[0] | two[1]),
        inside.map(lambda one: ~one),
    ),
    max_leaves=4,
)


@pytest.mark.django_db(databases=["default", "firestore"])
class TestChecks:
    """Constraints of rows that are not stored yet."""

    @examples(EXAMPLES)
    @given(condition=CONDITIONS, rows=st.lists(st.fixed_dictionaries({**VALUES, "id": st.integers()}), max_size=8))
    def test_same_rows_are_refused(self, condition: Q, rows: list[dict[str, Any]]) -> None:
        """Those for which the condition is false, and not null."""
        numbered = [{**row, "id": number} for number, row in enumerate(rows)]
        Numbered.objects.all().delete()
        Numbered.objects.bulk_create(Numbered(**row) for row in numbered)
        holds = ExpressionWrapper(condition, output_field=BooleanField())
        decided = Numbered.objects.annotate(holds=holds).order_by("pk").values_list("holds", flat=True)
        check = Check("check", Numbered, condition=condition)
        violated = violated_checks(connections["firestore"], [check], numbered)  # type: ignore[arg-type]
        assert [position for position, _ in violated] == [at for at, held in enumerate(decided) if held is False]
