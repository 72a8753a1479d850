"""Ids of markers: equal for equal values, and stable."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Case, F, Q, Value, When
from django.db.models.lookups import In
from hypothesis import given
from hypothesis import strategies as st

from memory.backends.firestore.constraints.definitions import Key, canonical_value
from memory.backends.firestore.query.plan import Create, Delete, Group, Outcome, Update
from memory.backends.firestore.rpc.writes import aborts_statement, combined_outcome
from memory.backends.firestore.values.batching import connected_components
from memory.backends.firestore.values.marker_collections import holds_markers, marker_collection
from memory.backends.firestore.values.types import JSON_NULL, Kind
from tests.engine.app.models import Everything

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
APPLIED, EXISTS, MISSING, STALE = Outcome.APPLIED, Outcome.EXISTS, Outcome.MISSING, Outcome.STALE


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (1, 1.0, Kind.FLOAT),
        (0.0, -0.0, Kind.FLOAT),
        (Decimal("1.0"), Decimal("1.000"), Kind.DECIMAL),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}, Kind.JSON),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=1))), NOON, Kind.DATETIME),
        (UUID(int=1), str(UUID(int=1)), Kind.UUID),
        (b"x", memoryview(b"x"), Kind.BINARY),
        (None, math.nan, Kind.FLOAT),
    ],
)  # fmt: skip
def test_equal_values_are_one(one: Any, other: Any, kind: Kind) -> None:
    """As compared by SQL and Firestore. NaN is treated as null."""
    assert canonical_value(one, kind) == canonical_value(other, kind)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("a", "A", Kind.TEXT),
        ("é", "e\u0301", Kind.TEXT),
        ("1", 1, Kind.JSON),
        (True, 1, Kind.JSON),
        (None, JSON_NULL, Kind.JSON),
        (2**53, 2**53 + 1, Kind.INTEGER),
        (0.1, 0.1 + 1e-16, Kind.FLOAT),
    ],
)
def test_other_values_are_two(one: Any, other: Any, kind: Kind) -> None:
    """Values that are different for a database have different ids."""
    assert (canonical_value(one, kind) == canonical_value(other, kind)) is (one == other and type(one) is type(other))


def test_collations_fold_as_sqlite_does() -> None:
    """Only ASCII letters, and only trailing spaces."""
    assert canonical_value("AÉ", Kind.TEXT, "nocase") == canonical_value("aÉ", Kind.TEXT)
    assert canonical_value(" a ", Kind.TEXT, "rtrim") == canonical_value(" a", Kind.TEXT)


def test_names_of_markers_never_change() -> None:
    """Otherwise stored markers would not be found, and constraints would not be enforced."""
    key = Key("unique(name)", None)
    values = ["é", 7, 2.5, True, None, b"\x00", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {"k": [1]}]
    kinds = [Kind.TEXT, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.TEXT, Kind.BINARY, Kind.DATETIME, Kind.JSON]
    canonical = [canonical_value(value, kind) for value, kind in zip(values, kinds, strict=True)]
    assert key.marker(canonical) is None
    assert Key("unique(name)", None, nulls_distinct=False).marker(canonical) == "2934d7ab3989b087a4b32caebbba59c2"
    assert key.marker([canonical_value("ann", Kind.TEXT)]) == "cc39c7e542c42f8184f72fe2b477de33"
    assert key.marker([]) != Key("other", None).marker([])


def test_collections_of_markers_are_recognised() -> None:
    """By their name."""
    assert holds_markers(marker_collection("auth_group"))
    assert not holds_markers("auth_group")


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_connected_components(given: tuple[int, list[tuple[int, int]]]) -> None:
    """Each number is in one set, each link is inside a set, and the links connect each set."""
    count, links = given
    sets = connected_components(count, links)
    assert sorted(number for one in sets for number in one) == list(range(count))
    home = {number: place for place, one in enumerate(sets) for number in one}
    assert all(home[one] == home[other] for one, other in links)
    assert len(sets) >= count - len(links)


ROW, OTHER = Update("t", "a", version=1), Update("t", "b", version=1)
TAKEN, GIVEN = Create("t:unique", "x", (), ()), Delete("t:unique", "y", version=1)


@pytest.mark.parametrize(
    ("change", "outcomes", "expected"),
    [
        (ROW, [STALE], STALE),
        (Group((ROW,), (TAKEN, GIVEN)), [APPLIED, APPLIED, APPLIED], APPLIED),
        (Group((ROW,), (TAKEN, GIVEN)), [APPLIED, EXISTS, APPLIED], EXISTS),
        # The row was changed by others, who may have set the value.
        (Group((ROW,), (TAKEN, GIVEN)), [STALE, EXISTS, MISSING], STALE),
        (Group((ROW,), (TAKEN, GIVEN)), [APPLIED, APPLIED, MISSING], STALE),
        (Group((ROW,), (TAKEN, GIVEN)), [MISSING, EXISTS, APPLIED], MISSING),
        # The other row of an exchange still exists.
        (Group((ROW, OTHER), ()), [MISSING, APPLIED], STALE),
        (Group((Create("t", "a", (), ()),), (TAKEN,)), [EXISTS, EXISTS], EXISTS),
    ],
)
def test_a_group_has_one_outcome(change: Any, outcomes: list[Outcome], expected: Outcome) -> None:
    """The outcome that determines how to proceed."""
    assert combined_outcome(change, outcomes) is expected


def test_only_new_rows_may_be_skipped() -> None:
    """A statement that updates rows fails if a row would get unique values of another."""
    assert aborts_statement(Group((ROW,), (TAKEN,)), EXISTS)
    assert not aborts_statement(Group((ROW,), (TAKEN,)), STALE)
    assert not aborts_statement(Group((Create("t", "a", (), ()),), (TAKEN,)), EXISTS)


@pytest.mark.parametrize(
    "condition",
    [
        Q(small__range=(F("big") - 1, 5)),
        Q(small__in=[1, F("big")]),
        ~Q(Q(small__gt=3) | Q(small__in=[Case(When(big__gt=1, then=F("small")), default=2)])),
        Case(When(small__range=(0, F("big")), then=Value(True)), default=Value(False)),
        In(F("small"), [F("big"), 1]),
    ],
)
def test_a_constraint_reads_all_columns_of_its_condition(condition: Any) -> None:
    """Also those in lists, in which SQLite would take the name of a column that is not there for text."""
    assert Key("key", Everything, condition=condition).columns == {"small", "big"}
