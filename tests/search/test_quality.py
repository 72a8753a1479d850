"""What search finds in conversations that it was not tuned on: a change that loses some of it is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memory.search.candidates import budget, gather
from memory.search.embedders.static import StaticEmbedder
from memory.search.in_memory import InMemorySource
from memory.search.labelled import Label, read_conversations
from memory.search.passages import ask
from memory.search.ranking import rank
from tests.search.data import build

LIMIT = 10


def is_plain(label: Label) -> bool:
    return label.category.startswith("plain/")


def every(label: Label) -> bool:
    return True


@pytest.mark.parametrize(
    ("file", "asked", "least"),
    [("friends_heldout", every, 0.74), ("heldout", is_plain, 0.775)],
    ids=["friends", "plain"],
)
def test_what_is_found_in_conversations_held_out(file: str, asked: Callable[[Label], bool], least: float) -> None:
    """The mean share of the evidence among ten results, within the budget. docs/search.md has the figures."""
    embedder = StaticEmbedder()
    shares = []
    for conversation in read_conversations((build.FOLDER / f"{file}.json").read_text("utf-8")):
        source = InMemorySource(conversation.passages, embedder)
        for label in filter(asked, conversation.labels):
            gathered = gather(source, ask(label.question, "english", embedder), LIMIT)
            assert gathered.reads <= budget(LIMIT) == 150
            assert gathered.rounds <= 2
            found = {one.passage.id for one in rank(gathered.question, gathered.pool)[:LIMIT]}
            shares.append(len(found & label.evidence) / len(label.evidence))
    assert sum(shares) / len(shares) >= least
