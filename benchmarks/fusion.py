"""Recall of simple fusions of BM25 and vectors on labelled conversations, as baselines of `memory_evaluate`.

    python -m benchmarks.fusion tests/search/data/friends_heldout.json

Each turn is scored by BM25 and by the default model's cosine, then also with its neighbours (windows of one and of two
turns to each side), with the words of its session, and by the speaker that the question names. Every score is scaled to
0..1 over the conversation, and all are added. Everything is read: there is no budget.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory.search.embedders.static import StaticEmbedder
from memory.search.labelled import Conversation, read_conversations
from memory.search.passages import ask, naming
from memory.search.terms import query_terms
from memory.search.texts import embed

Scores = NDArray[np.float64]

K1, B = 1.5, 0.75
WINDOWS = (1, 2)
SESSION, SPEAKER = 0.5, 0.6
FIRST = 10
LANGUAGE = "english"


def scaled(scores: Scores) -> Scores:
    """Scale to 0..1; zeros if all are equal."""
    width = scores.max() - scores.min()
    return (scores - scores.min()) / width if width > 0 else np.zeros_like(scores)


def bm25(asked: Sequence[str], texts: Sequence[Counter[str]]) -> Scores:
    """One score per text (Robertson & Zaragoza 2009)."""
    lengths = np.array([text.total() for text in texts], float)
    found = np.zeros(len(texts))
    for term in asked:
        often = np.array([text[term] for text in texts], float)
        having = float((often > 0).sum())
        rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        found += rarity * often * (K1 + 1) / (often + K1 * (1 - B + B * lengths / lengths.mean()))
    return found


class Fusion:
    """A conversation and its scores by fusion."""

    def __init__(self, conversation: Conversation, model: StaticEmbedder) -> None:
        self.turns, self.model = conversation.passages, model
        self.words = [Counter(turn.terms) for turn in self.turns]
        sessions_turns: dict[str, list[int]] = {}
        for place, turn in enumerate(self.turns):
            sessions_turns.setdefault(turn.session, []).append(place)
        self.sessions = [sessions_turns[turn.session] for turn in self.turns]
        windows = [self._around(width) for width in (0, *WINDOWS)]
        self.counted = [self._counted(places) for places in windows]
        self.vectors = [
            embed(model, [" ".join(self.turns[one].text for one in some) for some in places]) for places in windows
        ]
        self.session_words = self._counted(self.sessions)

    def _around(self, width: int) -> list[list[int]]:
        return [[one for one in session if abs(one - place) <= width] for place, session in enumerate(self.sessions)]

    def _counted(self, places: Sequence[Sequence[int]]) -> list[Counter[str]]:
        return [sum((self.words[one] for one in some), Counter()) for some in places]

    def scores(self, question: str) -> dict[str, Scores]:
        """One score per turn, by fusion."""
        asked, vector = query_terms(question, LANGUAGE), self.model.embed_query(question)
        names = naming(ask(question, LANGUAGE), {turn.speaker for turn in self.turns}).speakers
        words = [scaled(bm25(asked, counted)) for counted in self.counted]
        nearness = [scaled((vectors @ vector).astype(float)) for vectors in self.vectors]
        windows = sum(words) + sum(nearness)
        session = windows + SESSION * scaled(bm25(asked, self.session_words))
        named = np.array([float(len(names) == 1 and turn.speaker in names) for turn in self.turns])
        return {
            "words": words[0],
            "vectors": nearness[0],
            "words and vectors": words[0] + nearness[0],
            "with windows": windows,
            "with sessions": session,
            "with speakers": session + SPEAKER * named,
        }


def main() -> None:
    """Print recall@10 over all questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    found: dict[str, list[float]] = {}
    for conversation in read_conversations(parser.parse_args().file.read_text("utf-8")):
        fusion = Fusion(conversation, StaticEmbedder())
        for label in conversation.labels:
            for name, scores in fusion.scores(label.question).items():
                first = {fusion.turns[place].id for place in np.argsort(-scores, kind="stable")[:FIRST]}
                found.setdefault(name, []).append(len(first & label.evidence) / len(label.evidence))
    for name, shares in found.items():
        print(f"{name:20} {np.mean(shares):.3f}")


if __name__ == "__main__":
    main()
