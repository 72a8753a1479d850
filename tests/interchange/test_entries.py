"""The metadata that imports make."""

from __future__ import annotations

from typing import Any

import pytest

from memory.interchange.entries import merged


@pytest.mark.parametrize(
    ("fields", "own", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2, "fields": {"a": 1}}),
        ({"a": 1, "fields": 3}, {"a": 2}, {"a": 2, "fields": {"a": 1, "fields": 3}}),
        ({"fields": 1}, {"fields": 2}, {"fields": 2, "fields_": {"fields": 1}}),
        ({"a": False}, {"a": 0}, {"a": 0, "fields": {"a": False}}),
    ],
)
def test_merged_metadata_loses_nothing(fields: dict[str, Any], own: dict[str, Any], expected: dict[str, Any]) -> None:
    """A file's field whose name the import uses itself is kept beside it."""
    assert repr(merged(fields, own)) == repr(expected)
