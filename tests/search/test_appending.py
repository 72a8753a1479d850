"""A corpus to which entries are appended is the one that is made of all entries at once, and ranks alike."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from memory.search import view
from memory.search.appending import appended
from memory.search.corpus import Corpus, Entry
from memory.search.entries import entry_of, read_text
from memory.search.relevance import asked, rank
from memory.testing.embedders import DeterministicEmbedder

from .test_corpus import shown

EMBEDDER = DeterministicEmbedder()
WORDS = "apple banana cherry grape lemon mango olive peach plum quince paint lake sunset violin train garden".split()  # noqa: SIM905
QUESTIONS = ("Which lemon is in the garden?", "violin at the lake", "Who painted a sunset?", "Zug nach Berlin")


def entries(number: int, start: int = 0, seed: int = 0) -> list[Entry]:
    """Entries of few sessions and times, so that many are tied; some have several pieces, no text or no vector."""
    chance = random.Random(seed)  # noqa: S311
    made = []
    for place in range(start, start + number):
        said = " ".join(chance.choices([*WORDS, f"word{place}"], k=chance.choice([0, 3, 9, 9, 9, 150])))
        read = read_text(said)
        vectors = EMBEDDER.embed_documents(list(read.texts)) if read.texts else np.zeros((0, 0), np.float32)
        made.append(
            entry_of(
                read,
                vectors if chance.random() < 0.9 else vectors[:0],
                id=f"i{chance.random()}-{place}",
                time=chance.randint(0, 40) if seed else place,
                session=f"s{chance.randint(0, 5) + place // 30}",
                speaker=chance.choice(["Ada", "Bo", f"Guest {place}"]),
                role=chance.choice(["user", "assistant", ""]),
            )
        )
    return made


def assert_alike(one: Corpus, other: Corpus, question: str) -> None:
    """The same ids, the same ids of items with the same text, and about the same scores."""
    found = [(corpus, rank(asked(question, EMBEDDER), corpus, None, 20)) for corpus in (one, other)]
    ours, theirs = (
        [(corpus.ids[each.place], [corpus.ids[place] for place in each.same]) for each in ranked]
        for corpus, ranked in found
    )
    assert ours == theirs
    assert [each.score for each in found[0][1]] == pytest.approx([each.score for each in found[1][1]], abs=1e-6)


def terms_of(corpus: Corpus, places: list[int]) -> list[list[str]]:
    terms, starts = corpus.terms_of(np.array(places))
    named = [corpus.terms[place] for place in terms.tolist()]
    return [sorted(named[start:end]) for start, end in pairwise(starts.tolist())]


@pytest.mark.parametrize("seed", range(6))
def test_appended_entries_are_as_if_they_had_been_there(seed: int) -> None:
    """Also to a corpus that has been searched, and several times."""
    first, others = entries(150, seed=seed), [entries(number, 150 + 20 * number, seed) for number in (1, 0, 7, 13)]
    corpus = Corpus.of(first)
    every = list(first)
    for some in others:
        rank(asked(QUESTIONS[0], EMBEDDER), corpus)
        corpus = appended(corpus, Corpus.of(some))
        every += some
        whole = Corpus.of(every)
        assert shown(corpus) | {"vectors": np.asarray(corpus.vectors).tolist()} == shown(whole)
        for name in ("lengths", "piece_entries", "rows", "order_in_time", "lateness"):
            assert getattr(corpus, name).tolist() == getattr(whole, name).tolist(), name
        assert np.allclose(corpus.mean_vector, whole.mean_vector, atol=1e-6)
        assert corpus.used_roles == whole.used_roles
        assert {name: corpus.terms.place_of(name) for name in whole.terms} == {
            name: place for place, name in enumerate(corpus.terms)
        }
        assert terms_of(corpus, [len(corpus) - 1, 3, 0]) == terms_of(whole, [len(corpus) - 1, 3, 0])
        for question in QUESTIONS:
            assert_alike(corpus, whole, question)


def test_signs_of_appended_vectors_are_those_beside_the_mean_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """So those of the others are not computed again, and the results are those of one corpus."""
    monkeypatch.setattr(view, "EXACT_ROWS", 50)
    first, others = entries(150), entries(9, 150)
    corpus, whole = Corpus.of(first), Corpus.of([*first, *others])
    rank(asked(QUESTIONS[0], EMBEDDER), corpus)
    mean, signs = corpus.signs
    corpus = appended(corpus, Corpus.of(others))
    assert "signs" in vars(corpus)
    assert corpus.signs[0] is mean
    assert corpus.signs[1].tolist() == whole.signs_beside(mean).tolist()
    assert len(signs.T) < len(corpus.vectors)
    assert_alike(corpus, whole, QUESTIONS[0])


def test_many_entries_make_a_new_corpus() -> None:
    """Whose mean vector is that of all."""
    corpus = appended(Corpus.of(entries(20)), Corpus.of(entries(20, 20)))
    assert isinstance(corpus.vectors, np.ndarray)
    assert shown(corpus) == shown(Corpus.of([*entries(20), *entries(20, 20)]))


def test_entries_without_vectors_and_names_are_appended() -> None:
    """To a corpus of any kind."""
    empty = Corpus.of([])
    bare = [entry_of(read_text(""), np.zeros((0, 0), np.float32), id="none", time=99)]
    assert shown(appended(empty, Corpus.of(bare))) == shown(Corpus.of(bare))
    some = entries(30)
    assert shown(appended(Corpus.of(some), Corpus.of(bare))) == shown(Corpus.of([*some, *bare]))
