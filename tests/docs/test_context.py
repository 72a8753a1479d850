"""docs/context.md: its example."""

from __future__ import annotations

import pytest

from .snippets import ROOT, snippets


@pytest.mark.django_db(databases=["default", "memory"])
def test_the_example_runs() -> None:
    """As it is written; its own assertions hold."""
    [text] = [each.text for each in snippets(ROOT / "docs/context.md") if each.language == "python"]
    exec(compile(text, "context.md", "exec"), {"__name__": "example"})  # noqa: S102  (our own document)
