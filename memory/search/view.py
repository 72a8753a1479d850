"""What a ranking sees of a question and a memory: the candidates, and what is near them. Pure, with numpy.

A first pass scores every entry by words (BM25), by the words of its neighbours, and by vectors. The best `CONSIDERED`
are candidates, and only these have features.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Vectors

from .answers import KINDS, MOST_READ
from .arrays import Floats, has, ratio, unit
from .asking import Asked, sought_languages, sought_terms
from .compounds import COMPOUNDING, kin
from .corpus import ASKS, HAS_NAME, HAS_NUMBER, HAS_TIME, Corpus, Places
from .dates import Named, named
from .languages import ENGLISH
from .postings import NO_OTHERS, SHORT, Postings
from .wording import QUESTION_MARKS, WORD

CONSIDERED = 300
EXACT_ROWS = 3_000
"""Vectors that are compared exactly. Of more, the signs select the nearest ones."""

DISTANCES = (0, -1, -2, -3, 1, 2)
"""Of entries from a candidate in its session, those before it negative."""

BRIEF = 3  # words of a question that is typed into a search box


class View:
    """A question and a corpus: what all features share."""

    def __init__(self, question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None = None) -> None:
        self.question, self.corpus = question, corpus
        self.speakers, self.terms = sought_terms(question, corpus)
        has_compounds = not COMPOUNDING.isdisjoint(sought_languages(question, corpus))
        self.words = Postings(corpus, self.terms, kin(self.terms, corpus) if has_compounds else NO_OTHERS)
        self.open = np.ones(len(corpus), bool) if allowed is None else allowed
        self.places = self._candidates()

    @cached_property
    def has_vectors(self) -> bool:
        """Whether the question has a vector, and an entry has one."""
        vector = self.question.vector
        return vector is not None and bool(vector.any()) and len(self.corpus.vectors) > 0

    # The first pass, over all entries.

    @cached_property
    def own(self) -> Floats:
        """BM25 of every entry."""
        return self.words.scores(SHORT)

    @cached_property
    def around(self) -> Floats:
        """BM25 of every entry with shares of that of its neighbours."""
        corpus, own = self.corpus, self.own
        found, has = own.copy(), np.flatnonzero(own)
        for step, share in ((corpus.after, 0.5), (corpus.before, 0.3)):
            beside = step[has]
            is_there = beside >= 0
            found[beside[is_there]] += share * own[has[is_there]]  # each entry is the neighbour of one
        return found

    @cached_property
    def rough(self) -> Floats:
        """The centred cosine of every entry's nearest vector, not below 0; an estimate if there are many."""
        corpus, vector = self.corpus, self.question.vector
        if vector is None or not len(corpus.vectors):
            return np.zeros(len(corpus))
        if len(corpus) == 1:  # nothing to centre by
            nearest = (_wide(corpus, np.arange(len(corpus.vectors))) @ unit(vector)).max()
            return np.array([max(0.0, float(nearest))])
        if len(corpus.vectors) <= EXACT_ROWS:
            every = _centred(_wide(corpus, np.arange(len(corpus.vectors))), corpus.mean_vector) @ unit(
                vector - corpus.mean_vector
            )
        else:
            mean, signs = corpus.signs
            bits = np.packbits(vector > mean)
            padded = np.zeros(len(signs) * 8, np.uint8)
            padded[: len(bits)] = bits
            apart = np.zeros(len(corpus.vectors), np.uint16)
            for ours, theirs in zip(padded.view(np.uint64), signs, strict=True):
                apart += np.bitwise_count(theirs ^ ours)
            every = np.cos(np.arange(len(vector) + 1) * (np.pi / len(vector)))[apart]
        if corpus.has_one_vector_each:
            return every.astype(np.float64, copy=False).clip(0)
        found, has = np.zeros(len(corpus)), np.flatnonzero(corpus.rows >= 0)
        if len(has):
            found[has] = np.maximum.reduceat(every, corpus.vector_starts[has])
        return found.clip(0)

    def _candidates(self) -> Places:
        own, around, rough = self.own, self.around, self.rough
        ways = (own, around, rough, ratio(own) + ratio(around) + ratio(rough))
        shares = (0.2, 0.2, 0.2, 1.0)
        is_found = np.zeros(len(self.corpus), bool)
        for way, share in zip(ways, shares, strict=True):
            most = int(CONSIDERED * share)
            places = np.flatnonzero(self.open & (way > 0))
            if len(places) > most:
                places = places[np.argpartition(-way[places], most)[:most]]
            is_found[places] = True
        return np.flatnonzero(is_found)

    # What is near the candidates.

    @cached_property
    def beside(self) -> Mapping[int, Places]:
        """The entries at each of `DISTANCES` from the candidates; -1 for none."""
        found = {0: self.places}
        for distance in DISTANCES[1:]:
            nearer, step = (distance + 1, self.corpus.before) if distance < 0 else (distance - 1, self.corpus.after)
            found[distance] = np.where(found[nearer] >= 0, step[found[nearer]], -1)
        return found

    @cached_property
    def piece_rows(self) -> tuple[Places, Places]:
        """The rows of the vectors of the candidates' pieces (of a short text its own), and their candidates."""
        starts, ends = self.corpus.vector_starts[self.places], self.corpus.vector_starts[self.places + 1]
        firsts = np.where(ends - starts > 1, starts + 1, starts)
        lengths = ends - firsts
        rows = np.repeat(firsts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(lengths.sum())
        return rows, np.repeat(np.arange(len(self.places)), lengths)

    @cached_property
    def asks(self) -> Floats:
        return has(self.corpus, self.places, ASKS)

    @cached_property
    def asked_before(self) -> Floats:
        return has(self.corpus, self.beside[-1], ASKS)

    @cached_property
    def answer_flag(self) -> int:
        """The flag of the kind of answer that the question asks for; 0 for none."""
        flags = (HAS_TIME, HAS_NUMBER, HAS_NAME)
        text = self.question.text[:MOST_READ]
        return next((flag for kind, flag in zip(KINDS[ENGLISH], flags, strict=True) if kind.asks.search(text)), 0)

    @cached_property
    def unspaced(self) -> float:
        """The share of the question's letters that are of a script without spaces."""
        letters = [character for character in self.question.text if character.isalnum()]
        return sum(character >= "\u3040" for character in letters) / max(1, len(letters))

    @cached_property
    def brief(self) -> float:
        """1 for one to three words without a question mark, 0 for other questions."""
        text = self.question.text[:MOST_READ].rstrip()
        return float(len(WORD.findall(text)) <= BRIEF and text[-1:] not in QUESTION_MARKS)

    @cached_property
    def dates(self) -> tuple[Named, ...]:
        return named(self.question.text, self.question.language)


def _centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """The vectors minus the mean, of length 1; zeros stay zeros."""
    return unit((vectors - mean) * (vectors != 0).any(axis=-1, keepdims=True))


def _wide(corpus: Corpus, rows: Places) -> Vectors:
    """Rows of quantised vectors as floats; their length is 1 but for rounding."""
    wide: Vectors = corpus.vectors[rows].astype(np.float32) * corpus.scales[rows, None]
    return wide
