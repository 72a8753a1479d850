"""Ranks the entries of a corpus by how well they answer a question. Pure, with numpy.

Every entry is scored by words and by vectors; the best `CONSIDERED` go through the features that cost more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Embedder, Vectors

from .corpus import Corpus
from .embedders.checked import query_vector
from .terms import query_terms

CONSIDERED = 300

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A question: its text, who asks ("" if unknown), and its vector (None without an embedder)."""

    text: str
    asker: str
    vector: Vectors | None
    terms: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """A place in the corpus, its score from 0 to 1, and the parts of it.

    The logistic function of the parts' sum is the score. `same` are the places of other allowed entries with this text.
    """

    place: int
    score: float
    parts: Mapping[str, float]
    same: tuple[int, ...] = ()


def asked(text: str, embedder: Embedder | None = None, asker: str = "", language: str = "english") -> Asked:
    """Prepare a question. Raises `EmbedderError`."""
    vector = None if embedder is None else query_vector(embedder, text)
    return Asked(text, asker, vector, tuple(query_terms(text, language)))


def rank(question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None = None, limit: int = 10) -> list[Ranked]:
    """The entries that answer a question best, best first, each text once; equal scores newest first, then by id.

    `allowed` is a mask of the entries that may be found; others still count as neighbours and for rarities.
    """
    if not len(corpus):
        return []
    words, cosines = _bm25(question.terms, corpus), _cosines(question.vector, corpus)
    parts = {"words": 6 * words / max(words.max(), 1e-9) * (words.max() > 0), "vector": 8 * cosines.clip(0)}
    scores = parts["words"] + parts["vector"] - 8
    open_ = np.ones(len(corpus), bool) if allowed is None else allowed
    open_ = open_ & ((words > 0) | (cosines > 0))
    places = np.flatnonzero(open_)
    order = places[np.lexsort((-corpus.time[places], -scores[places]))]
    found: list[Ranked] = []
    seen: dict[int, list[int]] = {}
    for place in order[:CONSIDERED].tolist():
        same = seen.setdefault(int(corpus.digest[place]), [])
        same.append(place)
        if len(same) == 1 and len(found) < limit:
            of = {name: float(values[place]) for name, values in parts.items()} | {"constant": -8.0}
            found.append(Ranked(place, 1 / (1 + math.exp(-math.fsum(of.values()))), of))
    return [Ranked(one.place, one.score, one.parts, tuple(seen[int(corpus.digest[one.place])][1:])) for one in found]


def _bm25(terms: Sequence[str], corpus: Corpus, k1: float = 1.2, b: float = 0.3) -> Scores:
    lengths = np.bincount(corpus.piece_entries, corpus.piece_lengths, minlength=len(corpus))
    norm = 1 - b + b * lengths / max(1.0, lengths.mean())
    found = np.zeros(len(corpus))
    for term in terms:
        if (place := corpus.term_places.get(term)) is None:
            continue
        span = slice(corpus.posting_starts[place], corpus.posting_starts[place + 1])
        often = np.bincount(
            corpus.piece_entries[corpus.posting_pieces[span]], corpus.posting_counts[span], minlength=len(corpus)
        )
        frequency = np.count_nonzero(often)
        rarity = math.log(1 + (len(corpus) - frequency + 0.5) / (frequency + 0.5))
        found += rarity * often * (k1 + 1) / (often + k1 * norm)
    return found


def _cosines(vector: Vectors | None, corpus: Corpus) -> Scores:
    found = np.zeros(len(corpus))
    if vector is None or not len(corpus.vectors):
        return found
    every = (corpus.vectors.astype(np.float32) @ vector) * corpus.scales
    has = np.flatnonzero(np.diff(corpus.vector_starts))
    found[has] = np.maximum.reduceat(every, corpus.vector_starts[has])
    return found
