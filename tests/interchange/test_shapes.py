"""Shapes from public documentation and code become the conversation that a person expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conversations import conversations, rejects_of, run_import
from .shapes import SHAPES, Shape

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_shape(shape: Shape, tmp_path: Path) -> None:
    """Nothing is rejected, and a second import changes nothing."""
    assert shape.source.startswith("https://")
    path = tmp_path / "file.jsonl"
    path.write_text("\n".join(map(json.dumps, shape.lines)))
    code, said = run_import(path)
    assert (code, rejects_of(path)) == (0, []), said
    assert conversations() == shape.expected
    _, said = run_import(path)
    assert "added" not in said
    assert "updated" not in said
    assert conversations() == shape.expected
