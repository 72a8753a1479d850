"""`json_copy()` is equivalent to a round trip through JSON text."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import example, given
from hypothesis import strategies as st

from memory.backends.firestore.values.json_copy import MAX_DEPTH, json_copy

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=9)
)
keys = st.text(st.characters(codec=None), max_size=5) | st.integers() | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(values)
@example("\ud83d\ude00")  # two halves of one character, which JSON joins
@example({"\ud83d\ude00": [("a", {1: -0.0})]})
def test_a_copy_equals_the_json_round_trip(value: Any) -> None:
    """Keys become strings, tuples lists, and surrogate pairs characters. Other values are unchanged."""
    copied, spelled = json_copy(value, None), json.loads(json.dumps(value))
    assert json.dumps(copied) == json.dumps(spelled)
    assert copied == spelled


def test_a_copy_shares_nothing_with_its_original() -> None:
    """Changing the original after the copy does not change the copy."""
    value = {"a": [{"b": 1}]}
    copied = json_copy(value, None)
    value["a"][0]["b"] = 2
    assert copied == {"a": [{"b": 1}]}


def test_deeply_nested_values_are_copied() -> None:
    """The result does not depend on the depth at which `json` is used."""
    value: Any = 1
    for _ in range(3 * MAX_DEPTH):
        value = [value]
    assert json_copy(value, None) == value


def test_values_that_json_rejects_are_rejected() -> None:
    """Other types and circular values raise the errors of `json`."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        json_copy(circle, None)
    with pytest.raises(TypeError, match="date"):
        json_copy({"on": dt.date(2026, 1, 1)}, None)


def test_the_encoder_is_used() -> None:
    """The field's encoder converts types that JSON does not support."""
    assert json_copy({"on": dt.date(2026, 1, 1)}, DjangoJSONEncoder) == {"on": "2026-01-01"}
