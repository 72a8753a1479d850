"""Arguments are validated as JSON Schema says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.mcp.schemas import problems
from memory.mcp.tools import TOOLS

words = st.text(st.characters(codec="utf-8"), max_size=30)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2_000_000) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(codec="utf-8"), max_size=300),
    "integer": st.integers(0, 250) | st.just(5.0),
    "number": st.floats(0, 1),
    "array": st.lists(st.text(st.characters(codec="utf-8"), max_size=3), max_size=3),
    "object": values,
}


@pytest.mark.parametrize("name", TOOLS)
@given(data=st.data())
def test_a_validator_of_json_schema_agrees(name: str, data: st.DataObject) -> None:
    """On random arguments, but for times, lone surrogates and numbers that no JSON column holds."""
    properties = {
        key: schema for key, schema in TOOLS[name].arguments["properties"].items() if schema.get("format") is None
    }
    schema = {**TOOLS[name].arguments, "properties": properties}
    drawn = {
        key: data.draw(values | LIKELY[own["type"]]) for key, own in properties.items() if data.draw(st.booleans())
    }
    drawn.pop("metadata", None)
    found = problems(drawn, schema)
    assert (found == {}) == jsonschema.Draft202012Validator(schema).is_valid(drawn), found
