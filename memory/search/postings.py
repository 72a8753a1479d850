"""The words of a question in a whole memory: their postings and BM25. Pure, with numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats
from .compounds import SHARE
from .corpus import Corpus, Integers

# BM25: saturation and normalisation by length, of a turn and of a piece (Robertson & Zaragoza 2009, section 3.4).
SHORT, LONG, PIECE, SESSION = (1.2, 0.3), (1.5, 0.75), (1.2, 0.5), (1.5, 0.75)

NO_OTHERS: Mapping[str, Sequence[int]] = {}


class Postings:
    """The postings of a question's terms in all entries: a count for each term and entry that has it.

    `others` are terms of the corpus that count `compounds.SHARE` as a term of the question.
    """

    def __init__(self, corpus: Corpus, terms: Sequence[str], others: Mapping[str, Sequence[int]] = NO_OTHERS) -> None:
        self.corpus = corpus
        self.known = [term for term in terms if term in corpus.terms or term in others]
        own = [[] if (found := corpus.terms.place_of(term)) is None else [found] for term in self.known]
        groups = [[*places, *others.get(term, ())] for term, places in zip(self.known, own, strict=True)]
        place = np.array([term_place for group in groups for term_place in group], np.int64)
        share = np.array(
            [w for group, places in zip(groups, own, strict=True) for w in _shares(len(group), len(places))]
        )
        starts, ends = corpus.posting_starts[place], corpus.posting_starts[place + 1]
        spans = [np.arange(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        at = np.concatenate([*spans, np.zeros(0, np.int64)]).astype(np.int64)
        number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        self.piece, self.piece_term = corpus.posting_pieces[at], np.repeat(number, ends - starts)
        self.piece_count = corpus.posting_counts[at] * np.repeat(share, ends - starts)
        self.size = len(groups)
        if len(place) > len(groups):
            self._merge()
        # Pieces are in order of their entries, so those of one entry and term are adjacent.
        entry = corpus.piece_entries[self.piece]
        changes = (np.diff(entry) != 0) | (np.diff(self.piece_term) != 0)
        first = np.flatnonzero(np.concatenate([[True], changes])[: len(entry)])
        self.entry, self.term = entry[first], self.piece_term[first]
        self.count = np.add.reduceat(self.piece_count, first) if len(first) else np.zeros(0)
        total, often = len(corpus), np.bincount(self.term, minlength=self.size)
        self.rarity = np.log(1 + (total - often + 0.5) / (often + 0.5))
        self.unknown = float(np.log(1 + (total + 0.5) / 0.5))
        self.whole = float(self.rarity.sum() + self.unknown * (len(terms) - self.size)) or 1.0

    def _merge(self) -> None:
        """Order the postings by term and piece, and add those of one piece and term."""
        key = self.piece_term * np.int64(max(1, len(self.corpus.piece_lengths))) + self.piece
        distinct, number = np.unique(key, return_inverse=True)
        self.piece_count = np.bincount(number, self.piece_count, len(distinct))
        self.piece_term, self.piece = np.divmod(distinct, max(1, len(self.corpus.piece_lengths)))

    def scores(self, how: tuple[float, float]) -> Floats:
        """BM25 of every entry."""
        corpus, (k1, b) = self.corpus, how
        norm = 1 - b + b * corpus.lengths[self.entry] / max(1.0, corpus.mean_length)
        shares = self.rarity[self.term] * self.count * (k1 + 1) / (self.count + k1 * norm)
        return np.bincount(self.entry, shares, len(corpus)).astype(np.float64, copy=False)

    def piece_scores(self, places: Integers) -> Floats:
        """BM25 of the best piece of each of these entries."""
        corpus, (k1, b) = self.corpus, PIECE
        number = _numbers(places, len(corpus))[corpus.piece_entries[self.piece]]
        kept = np.flatnonzero(number >= 0)
        piece, term, count = self.piece[kept], self.piece_term[kept], self.piece_count[kept]
        norm = 1 - b + b * corpus.piece_lengths[piece] / max(1.0, corpus.mean_piece_length)
        shares = self.rarity[term] * count * (k1 + 1) / (count + k1 * norm)
        firsts = corpus.piece_starts[places]
        starts = np.concatenate([[0], np.cumsum(corpus.piece_starts[places + 1] - firsts)])
        scores = np.bincount((starts[:-1] - firsts)[number[kept]] + piece, shares, starts[-1])
        found, has = np.zeros(len(places)), np.flatnonzero(np.diff(starts))
        if len(has):
            found[has] = np.maximum.reduceat(scores, starts[has])
        return found

    def session_scores(self, sessions: Integers) -> tuple[Floats, Floats]:
        """For each of these sessions the weight of the terms that it has, and its BM25."""
        corpus = self.corpus
        number = _numbers(sessions, len(corpus.sessions))[corpus.session[self.entry]]
        kept = np.flatnonzero(number >= 0)
        key = number[kept] * self.size + self.term[kept]
        table = np.bincount(key, self.count[kept], len(sessions) * self.size).astype(np.float64, copy=False)
        counts = table.reshape(len(sessions), self.size)
        lengths, mean = corpus.session_lengths[sessions], corpus.session_lengths.mean()
        return (counts > 0) @ self.rarity, bm25(counts, lengths, mean, self.rarity, SESSION)

    def counts(self, places: Integers) -> Floats:
        """The counts of the terms in these entries, of shape (*places, terms); 0 for the place -1."""
        is_near = np.zeros(len(self.corpus) + 1, bool)
        is_near[places] = True
        distinct = np.flatnonzero(is_near[:-1])
        number = _numbers(distinct, len(self.corpus) + 1)
        at = number[self.entry]
        kept = np.flatnonzero(at >= 0)
        table: Floats = np.zeros((len(distinct) + 1, self.size))
        table[at[kept], self.term[kept]] = self.count[kept]
        found: Floats = table[number[places]]
        return found


def bm25(counts: Floats, lengths: Integers, mean: float, rarity: Floats, how: tuple[float, float]) -> Floats:
    """BM25 of texts with these counts of the terms, of shape (texts, terms). `mean` is the mean length."""
    k1, b = how
    norm = 1 - b + b * lengths / max(1.0, mean)
    scores: Floats = (counts * (k1 + 1) / (counts + k1 * norm[:, None])) @ rarity
    return scores


def _numbers(places: Integers, size: int) -> NDArray[np.int32]:
    """A table of the number of each of these distinct places; -1 for others."""
    found = np.full(size, -1, np.int32)
    found[places] = np.arange(len(places), dtype=np.int32)
    return found


def _shares(size: int, own: int) -> list[float]:
    return [1.0] * own + [SHARE] * (size - own)
