"""Filters of a store's search: JSON semantics, the same on every database."""

from typing import Any

import pytest

from memory.adapters.langgraph.filters import check, matches

VALUE = {
    "color": "red",
    "size": 5,
    "price": 4.99,
    "sold": False,
    "note": None,
    "tags": ["a", {"b": 1}],
    "about": {"maker": "Ada", "place": {"city": "Turin", "zip": "10100"}},
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, True),
        ({"color": "red"}, True),
        ({"color": "blue"}, False),
        ({"color": "red", "size": 5}, True),
        ({"color": "red", "size": 6}, False),
        ({"size": 5.0}, True),
        ({"size": "5"}, False),
        ({"sold": False}, True),
        ({"sold": 0}, False),
        ({"note": None}, True),
        ({"missing": None}, True),
        ({"tags": ["a", {"b": 1}]}, True),
        ({"tags": ["a"]}, False),
        ({"tags": "a"}, False),
        ({"about": {"maker": "Ada"}}, True),
        ({"about": {"place": {"city": "Turin"}}}, True),
        ({"about": {"place": {"city": "Rome"}}}, False),
        ({"color": {"maker": "Ada"}}, False),
        ({"color": {"$eq": "red"}}, True),
        ({"about": {"$eq": {"maker": "Ada"}}}, False),
        ({"color": {"$ne": "red"}}, False),
        ({"color": {"$ne": "blue"}}, True),
        ({"missing": {"$ne": "blue"}}, True),
        ({"missing": {"$ne": None}}, False),
        ({"size": {"$gt": 4}}, True),
        ({"size": {"$gt": 5}}, False),
        ({"size": {"$gte": 5}}, True),
        ({"size": {"$lt": 5}}, False),
        ({"size": {"$lte": 5}}, True),
        ({"price": {"$gt": 4, "$lt": 5}}, True),
        ({"size": {"$gt": "4"}}, False),
        ({"color": {"$gt": "blue"}}, True),
        ({"color": {"$gt": 1}}, False),
        ({"sold": {"$lt": 1}}, False),
        ({"missing": {"$lt": 1}}, False),
        ({"missing": {"$gte": 1}}, False),
        ({"about": {"place": {"zip": {"$gte": "10000"}}}}, True),
    ],
)
def test_values_are_compared_as_json(wanted: dict[str, Any], found: bool) -> None:
    """Types count, a missing key is null, ranges are of numbers or of strings, and maps may have other keys."""
    check(wanted)
    assert matches(VALUE, wanted) is found


@pytest.mark.parametrize("wanted", [{"size": {"$in": [1]}}, {"size": {"$gt": 1, "plain": 2}}, {"a": {"b": {"$x": 1}}}])
def test_an_unknown_operator_is_an_error(wanted: dict[str, Any]) -> None:
    """Also if there is nothing to filter."""
    with pytest.raises(ValueError, match="Unsupported operator"):
        check(wanted)
