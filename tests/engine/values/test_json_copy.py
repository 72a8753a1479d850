"""A value's way through JSON, with and without spelling it out."""

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
def test_a_copy_is_what_json_gives_back(value: Any) -> None:
    """Keys become text, tuples lists and pairs of surrogates characters; everything else stays as it is."""
    copied, spelled = json_copy(value, None), json.loads(json.dumps(value))
    assert json.dumps(copied) == json.dumps(spelled)
    assert copied == spelled


def test_a_copy_shares_nothing_with_its_original() -> None:
    """What is changed after it was given to be saved is not saved."""
    value = {"a": [{"b": 1}]}
    copied = json_copy(value, None)
    value["a"][0]["b"] = 2
    assert copied == {"a": [{"b": 1}]}


def test_what_nests_deep_is_copied_too() -> None:
    """The depth at which `json` takes over shows nowhere."""
    value: Any = 1
    for _ in range(3 * MAX_DEPTH):
        value = [value]
    assert json_copy(value, None) == value


def test_what_json_refuses_is_refused() -> None:
    """Foreign types, and what holds itself, raise what `json` raises."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        json_copy(circle, None)
    with pytest.raises(TypeError, match="date"):
        json_copy({"on": dt.date(2026, 1, 1)}, None)


def test_an_encoder_is_asked() -> None:
    """A field's own encoder spells what JSON does not know."""
    assert json_copy({"on": dt.date(2026, 1, 1)}, DjangoJSONEncoder) == {"on": "2026-01-01"}
