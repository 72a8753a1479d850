"""How near the words of a candidate are to the question's, by the vectors of single words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Vectors

from ..arrays import Floats, unit
from ..corpus import Corpus, Places
from ..lexicon import Lexicon
from ..terms import index_terms, words
from ..view import View

MOST_ASKED = 60  # words of a question that are compared with those of candidates by their vectors
MOST_WORDS = 10_000  # of all candidates, that are compared by their vectors: about 0.3 s of CPU the first time
MOST_KEPT_WORDS = 2 * MOST_WORDS  # vectors that a corpus keeps, 10 MB
WORD_DIMENSIONS = 64  # of the vectors of single words: enough to compare words, and fast
LEAST_SPREAD = 0.05

RELATED = ("related", "related_raw")


def related_features(view: View) -> dict[str, Floats]:
    """How near the nearest word of a candidate is to each word of the question: two means over the words."""
    question, corpus, words_ = view.question, view.corpus, view.words
    sought: dict[str, list[str]] = {}
    known = set(view.terms)
    for word in words(question.text):
        if len(sought) < MOST_ASKED and (
            stems := [stem for stem in index_terms(word, question.language) if stem in known]
        ):
            sought[word] = stems
    if not sought or not len(view.places):
        return dict.fromkeys(("related", "related_raw"), np.zeros(len(view.places)))
    places = {stem: corpus.terms.place_of(stem) for stems in sought.values() for stem in stems}
    matched = [place for place in places.values() if place is not None]
    terms, starts = _some_terms(*corpus.terms_of(view.places), matched)
    distinct, number = _numbered(terms, len(corpus.terms))
    near = np.zeros((len(distinct), len(sought)))
    if question.lexicon is not None:
        asked_for = unit(question.lexicon.vectors(list(sought))[:, :WORD_DIMENSIONS])
        vectors = _word_vectors(corpus, distinct, question.lexicon)[:, : asked_for.shape[1]]
        near = (vectors @ asked_for.T).astype(np.float64)
    weights = []
    rarity = dict(zip(words_.known, words_.rarity.tolist(), strict=True))
    for column, stems in enumerate(sought.values()):
        same = [place for stem in stems if (place := places[stem]) is not None and number[place] >= 0]
        near[number[same], column] = 1.0
        weights.append(max(rarity.get(stem, words_.unknown) for stem in stems))
    best = np.zeros((len(view.places), len(sought)))
    has = np.flatnonzero(np.diff(starts))
    if len(has):
        best[has] = np.maximum.reduceat(near[number[terms]], starts[has], axis=0).clip(0, 1)
    share = np.array(weights) / sum(weights)
    standard = (best - best.mean(axis=0)) / (best.std(axis=0) + LEAST_SPREAD)
    return {"related": standard @ share, "related_raw": best**2 @ share}


def _numbered(terms: Places, most: int) -> tuple[Places, NDArray[np.int32]]:
    """The distinct terms, in order, and a table of `most` entries with the number of each in this order."""
    is_used = np.zeros(most, bool)
    is_used[terms] = True
    distinct = np.flatnonzero(is_used)
    number = np.full(most, -1, np.int32)
    number[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, number


def _some_terms(terms: Places, starts: Places, always: Sequence[int]) -> tuple[Places, Places]:
    """The terms of the candidates, and where those of each begin: at most `MOST_WORDS`, and those in `always`."""
    if len(terms) <= MOST_WORDS:
        return terms, starts
    distinct, number = np.unique(terms, return_inverse=True)
    if len(distinct) <= MOST_WORDS:
        return terms, starts
    within = np.arange(len(terms)) - np.repeat(starts[:-1], np.diff(starts))
    earliest = np.full(len(distinct), len(terms))
    np.minimum.at(earliest, number.reshape(-1), within)
    most = np.searchsorted(np.cumsum(np.bincount(earliest)), MOST_WORDS, "right")  # words of a candidate
    kept = (within < most) | np.isin(terms, always)
    return terms[kept], np.concatenate([[0], np.cumsum(kept)])[starts]


def _word_vectors(corpus: Corpus, terms: Places, lexicon: Lexicon) -> Vectors:
    """Vectors of terms of the corpus, cached there."""
    name, none = lexicon.embedder.name, (np.full(len(corpus.terms), -1, np.int32), np.zeros((0, WORD_DIMENSIONS)))
    rows, made = corpus.word_cache.get(name, none)
    if len(made) + (rows[terms] < 0).sum() > MOST_KEPT_WORDS:
        rows, made = none
    if len(new := terms[rows[terms] < 0]):
        vectors = lexicon.embed([corpus.terms[place] for place in new.tolist()])[:, :WORD_DIMENSIONS]
        more = np.zeros((len(new), WORD_DIMENSIONS), np.float32)
        more[:, : vectors.shape[1]] = unit(vectors)
        rows = rows.copy()  # another thread may read it
        rows[new] = np.arange(len(made), len(made) + len(new))
        made = np.concatenate([made, more]).astype(np.float32, copy=False)
        corpus.word_cache[name] = rows, made
    found: Vectors = made[rows[terms]]
    return found
