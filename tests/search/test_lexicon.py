"""The cache of word vectors: what it keeps, and how many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memory.embedding import EmbedderError, Vectors
from memory.search import lexicon
from memory.search.lexicon import Lexicon


class Words:
    """An embedder of words, whose calls are recorded."""

    name, revision, dimension = "words", "1", 512

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.fails = False

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """A vector of length 1 for each number."""
        if self.fails:
            raise EmbedderError("down")
        self.calls.append(tuple(texts))
        made = np.zeros((len(texts), self.dimension), np.float32)
        made[np.arange(len(texts)), [int(text) % self.dimension for text in texts]] = 1
        return made

    def embed_query(self, text: str) -> Vectors:
        """As a document."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


def numbers(start: int, count: int) -> list[str]:
    """Words for `Words`."""
    return [str(number) for number in range(start, start + count)]


def test_known_words_are_embedded_once() -> None:
    """The others of a question in one batch; the rows are in the order of the words."""
    words = Words()
    known = Lexicon(words)
    known.vectors(["1", "2"])
    made = known.vectors(["3", "1", "4"])
    assert words.calls == [("1", "2"), ("3", "4")]
    assert made.argmax(axis=1).tolist() == [3, 1, 4]
    assert known.vectors([]).shape == (0, 512)


def test_the_cache_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With long vectors, too, it keeps no more than its bytes; the arrays of which the vectors are rows count."""
    monkeypatch.setattr(lexicon, "MOST_BYTES", 200_000)
    known = Lexicon(Words())
    most = 0
    for start in range(0, 2_000, 7):
        known.vectors(["1", "2", *numbers(start + 3, 60)])
        arrays = {id(whole): whole for vector in known._kept.values() for whole in [vector.base, vector]}
        most = max(most, sum(one.nbytes for one in arrays.values() if one is not None and one.base is None))
        assert len(known._kept) * (lexicon.WORD_BYTES + 4 * 512) <= 200_000
    assert 100_000 < most <= 200_000


def test_a_full_cache_restarts_with_the_last_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are not embedded again."""
    monkeypatch.setattr(lexicon, "MOST_BYTES", 10 * (lexicon.WORD_BYTES + 4 * 512))
    words = Words()
    known = Lexicon(words)
    known.vectors(numbers(0, 10))
    known.vectors(["0", "10"])
    known.vectors(["0", "10"])
    known.vectors(["1"])
    assert words.calls[1:] == [("10",), ("1",)]


def test_words_that_an_embedder_does_not_know_now_are_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Zeros, and a warning; the next question asks again."""
    words = Words()
    known = Lexicon(words)
    words.fails = True
    assert not known.vectors(["1", "2"]).any()
    assert "compared without vectors" in caplog.text
    words.fails = False
    assert known.vectors(["1", "2"]).any(axis=1).all()


def test_threads_have_the_vectors_of_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while others fill and restart the cache."""
    monkeypatch.setattr(lexicon, "MOST_BYTES", 50 * (lexicon.WORD_BYTES + 4 * 512))
    known = Lexicon(Words())

    def ask(start: int) -> bool:
        asked = numbers(start % 100, 20)
        return known.vectors(asked).argmax(axis=1).tolist() == [int(word) for word in asked]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(800)))
    assert len(known._kept) <= 50
