"""The similarity of words, and its part in the score."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from memory.search import lexicon
from memory.search.embedders import Vectors
from memory.search.embedders.static import StaticEmbedder
from memory.search.lexicon import Lexicon, lexicon_of
from memory.search.passages import Passage, Pool, ask
from memory.search.ranking import Weights, rank
from memory.search.related import MOST_WORDS, nearness, related
from memory.search.terms import terms
from memory.testing.embedders import DeterministicEmbedder


class Counting(DeterministicEmbedder):
    """An embedder that records its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().embed_documents(texts)


class Failing(DeterministicEmbedder):
    """An embedder that embeds questions and fails for words."""

    fails = True

    def embed_query(self, text: str) -> Vectors:
        vector: Vectors = super().embed_documents([text])[0]
        return vector

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.fails:
            raise OSError("no route to host")
        return super().embed_documents(texts)


class Remote(DeterministicEmbedder):
    """A slow embedder."""

    remote = True


def ranked(question: str, texts: Sequence[str], embedder: DeterministicEmbedder | StaticEmbedder | None) -> list[str]:
    passages = {
        text: Passage(text, "s", "Ada", datetime(2024, 5, 1, tzinfo=UTC), text, tuple(terms(text))) for text in texts
    }
    pool = Pool(passages, {}, {}, len(texts))
    return [one.passage.text for one in rank(ask(question, "english", embedder), pool, Weights().only("related"))]


def test_each_word_counts_by_what_is_nearest_to_it() -> None:
    """One row per passage, one column per word of the question; an empty passage is similar to nothing."""
    near = nearness(["ferry", "late"], [["train", "late"], [], ["ferry", "late"]], Lexicon(DeterministicEmbedder()))
    assert near.shape == (3, 2)
    assert near[:, 1] == pytest.approx([1.0, 0.0, 1.0])
    assert near[2, 0] == pytest.approx(1.0)
    assert near[0, 0] < 0.9
    assert near[1, 0] == 0.0


@pytest.mark.parametrize(("asked", "said"), [([], [["ferry"]]), (["ferry"], []), (["ferry"], [[], []]), ([], [])])
def test_nothing_is_near_to_nothing(asked: list[str], said: list[list[str]]) -> None:
    """No words on either side, no passages: zeros, and no division by zero."""
    near = nearness(asked, said, Lexicon(DeterministicEmbedder()))
    assert near.shape == (len(said), len(asked))
    assert not near.any()
    assert related(near, [1.0] * len(asked)) == [0.0] * len(said)


def test_long_passages_are_compared_by_their_first_words() -> None:
    """A search compares a bounded number of words of any stored text."""
    counting = Counting()
    nearness(["ferry"], [[f"word{number}" for number in range(3 * MOST_WORDS)]], Lexicon(counting))
    assert len(counting.asked) == MOST_WORDS + 1


def test_a_word_in_every_text_has_no_weight() -> None:
    """The rarer of two words decides, although both weigh the same."""
    near = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.9, 0.0]])
    found = related(near, [1.0, 1.0])
    assert max(found) == found[2]
    assert found[0] == found[1]
    assert related(near, [0.0, 0.0]) == [0.0] * 4


def test_related_words_are_found() -> None:
    """With the default model, a text without a common word ranks before an unrelated one."""
    texts = ["We met at the station.", "He is terrified of gulls.", "The bread was in the oven."]
    assert ranked("What is he scared of?", texts, StaticEmbedder())[0] == texts[1]


def test_without_vectors_of_words_the_same_word_is_near() -> None:
    """Equal stems still match."""
    assert lexicon_of(None) is None
    texts = ["A fine day.", "She painted boats.", "The train was late."]
    assert ranked("Who paints?", texts, None)[0] == texts[1]


def test_a_model_that_takes_its_time_is_not_asked_for_words() -> None:
    """The embedded one is, once for the process."""
    lexicon = lexicon_of(Remote())
    assert lexicon is not None
    assert lexicon is lexicon_of(Remote())
    assert isinstance(lexicon.embedder, StaticEmbedder)


def test_a_word_is_embedded_once() -> None:
    """Its vector is cached, and equals the embedder's."""
    counting = Counting()
    kept = Lexicon(counting)
    first, again = kept.vectors(["ferry", "late"]), kept.vectors(["late", "train"])
    assert counting.asked == ["ferry", "late", "train"]
    assert first[1].tolist() == again[0].tolist() == DeterministicEmbedder().embed_documents(["late"])[0].tolist()
    assert kept.vectors([]).shape == (0, counting.dimension)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the cache is cleared, and lookups still succeed."""
    monkeypatch.setattr(lexicon, "MOST", 3)
    counting = Counting()
    kept = Lexicon(counting)
    kept.vectors(["a", "b"])
    assert kept.vectors(["b", "c", "d"]).shape == (3, counting.dimension)
    kept.vectors(["b", "a"])
    assert counting.asked == ["a", "b", "c", "d", "a"]


def test_one_lexicon_for_a_model() -> None:
    """Searches share the embedder's; another model, or a new instance of the same, has its own."""
    one = DeterministicEmbedder()
    assert lexicon_of(one) is lexicon_of(one)
    assert lexicon_of(DeterministicEmbedder(32)) is not lexicon_of(one)
    assert lexicon_of(DeterministicEmbedder()) is not lexicon_of(one)


def test_a_model_that_fails_for_words_fails_no_search(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged; equal words still match, and the failed words are embedded by a later search."""
    embedder = Failing()
    texts = ["A fine day.", "She painted boats.", "The train was late."]
    assert ranked("Who paints?", texts, embedder)[0] == texts[1]
    assert "Words are compared without vectors" in caplog.text
    embedder.fails = False
    assert lexicon_of(embedder).vectors(["train"]).any()  # type: ignore[union-attr]
