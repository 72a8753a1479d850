"""Features of candidates: what a corpus keeps of them is bounded."""

from __future__ import annotations

import pytest

from memory.search.asking import asked
from memory.search.features import related
from memory.search.relevance import rank
from tests.search.test_corpus import EMBEDDER, corpus


def test_word_vectors_of_a_corpus_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors of the last question's candidates are kept; the scores are the same."""
    made = corpus()
    questions = [asked(text, EMBEDDER) for text in ("what did you eat?", "when do we meet?")]
    expected = [[(one.place, one.score) for one in rank(question, made)] for question in questions]
    monkeypatch.setattr(related, "MOST_KEPT_WORDS", 1)
    for question, known in zip(questions, expected, strict=True):
        assert [(one.place, one.score) for one in rank(question, made)] == known
        for rows, vectors in made.word_cache.values():
            assert (rows >= 0).sum() == len(vectors) <= len(made.terms)
