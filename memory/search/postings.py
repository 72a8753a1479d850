"""The words of a question in a whole memory: their postings and BM25. Pure, with numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
        own = [[] if (one := corpus.terms.place_of(term)) is None else [one] for term in self.known]
        groups = [[*some, *others.get(term, ())] for term, some in zip(self.known, own, strict=True)]
        place = np.array([one for group in groups for one in group], np.int64)
        share = np.array([w for group, some in zip(groups, own, strict=True) for w in _shares(len(group), len(some))])
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
        lengths = self.corpus.lengths
        return _bm25(self.count, self.term, self.entry, lengths, self.rarity, how)

    def piece_scores(self) -> Floats:
        """BM25 of every entry's best piece."""
        pieces = _bm25(self.piece_count, self.piece_term, self.piece, self.corpus.piece_lengths, self.rarity, PIECE)
        found = np.zeros(len(self.corpus))
        np.maximum.at(found, self.corpus.piece_entries[self.piece], pieces[self.piece])
        return found

    def session_scores(self) -> tuple[Any, Any]:
        """For each session the share of the terms' weight that it has, and its BM25."""
        corpus, sessions = self.corpus, len(self.corpus.sessions)
        key = corpus.session[self.entry].astype(np.int64) * max(1, self.size) + self.term
        distinct, place = np.unique(key, return_inverse=True)
        session, term = distinct // max(1, self.size), distinct % max(1, self.size)
        count = np.bincount(place, self.count, len(distinct))
        lengths = np.bincount(corpus.session, corpus.lengths, sessions)
        covered = np.bincount(session, self.rarity[term], sessions)
        return covered, _bm25(count, term, session, lengths, self.rarity, SESSION)

    def counts(self, places: Integers) -> Floats:
        """The counts of the terms in these entries, of shape (places, terms); 0 for the place -1."""
        inverse = np.full(len(self.corpus) + 1, -1)
        distinct = np.unique(places[places >= 0])
        inverse[distinct] = np.arange(len(distinct))
        at = inverse[self.entry]
        table: Floats = np.zeros((len(distinct) + 1, self.size))
        table[at[at >= 0], self.term[at >= 0]] = self.count[at >= 0]
        found: Floats = table[np.where(places >= 0, inverse[places], len(distinct))]
        return found


def _shares(size: int, own: int) -> list[float]:
    return [1.0] * own + [SHARE] * (size - own)


def _bm25(
    count: Integers, term: Integers, of: Integers, lengths: Integers, rarity: Floats, how: tuple[float, float]
) -> Floats:
    k1, b = how
    norm = 1 - b + b * lengths / max(1.0, lengths.mean() if len(lengths) else 0)
    shares = rarity[term] * count * (k1 + 1) / (count + k1 * norm[of])
    return np.asarray(np.bincount(of, shares, len(lengths)), np.float64)
