"""Filters of a store's search, evaluated in Python: the same on every database.

LangGraph's reference stores disagree on `$ne`, ranges and nested maps. Here:

- values are compared as JSON: 1 equals 1.0, true does not equal 1, and "1" does not equal 1;
- a missing key has the value null: `{"$ne": "red"}` matches an item without the key, and `{"$eq": None}` too;
- a range compares numbers with numbers and strings with strings, by code points; all else is outside of every range;
- a map without operators matches a map that has its keys with matching values, and may have others;
- a list matches a list of the same length whose members match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any


def matches(value: Mapping[str, Any], filter: Mapping[str, Any] | None) -> bool:
    """Whether an item's value passes a filter: all of its keys match. Raises `ValueError` for an unknown operator."""
    return all(_matches(value.get(key), wanted) for key, wanted in (filter or {}).items())


def check(filter: Mapping[str, Any] | None) -> None:
    """Raise `ValueError` for an unknown operator, whether or not there are items."""
    for wanted in (filter or {}).values():
        _check(wanted)


def _check(wanted: Any) -> None:
    if isinstance(wanted, Mapping):
        has_operators = _has_operators(wanted)
        for name, inner in wanted.items():
            if has_operators and name not in OPERATORS:
                raise ValueError(f"Unsupported operator: {name}. Supported are {', '.join(OPERATORS)}.")
            _check(inner)


def _has_operators(wanted: Mapping[str, Any]) -> bool:
    return any(str(name).startswith("$") for name in wanted)


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if _has_operators(wanted):
            return all(OPERATORS[name](value, operand) for name, operand in wanted.items())
        return isinstance(value, Mapping) and matches(value, wanted)
    if isinstance(wanted, list | tuple):
        return _is_list(value) and len(value) == len(wanted) and all(map(_matches, value, wanted))
    return same(value, wanted)


def same(value: Any, other: Any) -> bool:
    """Whether two JSON values are equal."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
    if _is_list(value) and _is_list(other):
        return len(value) == len(other) and all(map(same, value, other))
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_range(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def is_in(value: Any, bound: Any) -> bool:
        comparable = (_is_number(value) and _is_number(bound)) or (isinstance(value, str) and isinstance(bound, str))
        return comparable and compare(value, bound)

    return is_in


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": same,
    "$ne": lambda value, operand: not same(value, operand),
    "$gt": _in_range(gt),
    "$gte": _in_range(ge),
    "$lt": _in_range(lt),
    "$lte": _in_range(le),
}
