"""Firestore's limits as pure functions."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import limits

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


def nested(levels: int) -> object:
    """Lists and maps, one in the other, so many levels deep."""
    value: object = 1
    for level in range(levels):
        value = {"k": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("value", ["a", "a b", "ü😀", "\x00", "__", "__a", "a__", "...", "x" * 1500, "é" * 750])
def test_ids_that_firestore_takes(value: str) -> None:
    """These are fine document ids."""
    assert limits.document_id_problem(value) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "empty"),
        (".", "cannot be an id"),
        ("..", "cannot be an id"),
        ("a/b", "slash"),
        ("____", "reserved"),
        ("__a\n__", "reserved"),
        ("x" * 1501, "1501"),
        ("é" * 751, "1502"),
        ("\ud800", "surrogate"),
    ],
)
def test_ids_that_firestore_refuses(value: str, why: str) -> None:
    """Each is refused, and the reason names the problem."""
    assert why in (limits.document_id_problem(value) or "")


@given(JSON)
def test_json_that_parses_can_be_stored(value: object) -> None:
    """What JSON can say, within the depth, has no problem."""
    assert limits.json_problem(value) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "nan"),
        ([math.inf], "inf"),
        ({1: 2}, "strings"),
        ({"a": {"\ud800": 1}}, "surrogate"),
        ({"k" * 1501: 1}, "1501"),
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, "datetime"),
        ({"a": ["\udfff"]}, "surrogate"),
        ({"a": b"x"}, "bytes"),
    ],
)
def test_json_that_cannot_be_stored(value: object, why: str) -> None:
    """Each is refused, and the reason names the problem."""
    assert why in (limits.json_problem(value) or "")


def test_nesting_stops_at_twenty_levels() -> None:
    """Twenty levels of maps and lists are valid, twenty-one are not; ten thousand are refused without recursion."""
    assert limits.json_problem(nested(20)) is None
    assert "20 levels" in (limits.json_problem(nested(21)) or "")
    assert "20 levels" in (limits.json_problem(nested(10_000)) or "")


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 1),
        (True, 1),
        (7, 8),
        (1.5, 8),
        (datetime(2026, 1, 1, tzinfo=UTC), 8),
        ("", 1),
        ("ü", 3),
        ([1, 2], 16),
        ([], 1),
        ({}, 1),
        ([[1]], 8 + 9),
        ({"": None}, 1 + 4 + 1),
        (2**63, 9 + 19 + 1),
        ({"ab": "c"}, 5),
        ({"a": {"b": [None]}}, 5),
        ("\ud800", 4),
    ],
)
def test_sizes_are_firestores(value: object, size: int) -> None:
    """The documentation's rules: 8 bytes a number or time, 1 a boolean or null, text its UTF-8 and 1."""
    assert limits.value_size(value) == size


def test_the_documentations_example_of_a_documents_size() -> None:
    """Fields, name and overhead together: the worked example of Firestore's page on storage size, flattened."""
    fields = {"type": "Personal", "done": False, "priority": 1, "description": "Learn Cloud Firestore"}
    assert limits.document_size("tasks", "my_task_id", fields) == (6 + 11 + 16) + (14 + 6 + 17 + 34) + 32


def test_deep_values_have_a_size() -> None:
    """A value that is far too deep to store is measured without recursion."""
    assert limits.value_size(nested(10_000)) == 8 + 5_000 * 2
