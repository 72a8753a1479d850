"""The quality of search in conversations that it was not tuned on: a regression fails."""

from __future__ import annotations

import pytest

from memory.search.embedders.static import StaticEmbedder
from memory.search.evaluation import evaluate, in_memory, measures
from memory.search.labelled import read_conversations
from tests.search.data import build


@pytest.mark.parametrize(("file", "kind", "least"), [("friends_heldout", "friends", 0.74), ("heldout", "plain", 0.775)])
def test_what_is_found_in_conversations_held_out(file: str, kind: str, least: float) -> None:
    """The mean share of the evidence among ten results. docs/search.md has the figures."""
    embedder = StaticEmbedder()
    memories = in_memory(read_conversations((build.FOLDER / f"{file}.json").read_text("utf-8")), embedder)
    found = [outcome["all"] for outcome in evaluate(memories, embedder)]
    measured = measures([one for one in found if one.label.category.startswith(f"{kind}/")])
    assert measured["recall@10"] >= least
