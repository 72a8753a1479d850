"""Similarity of the words of a passage to those of a question: "afraid" and "scared", "the bank" and "loan".

Each word of the question is compared with all words of a passage and scored by the most similar one (late interaction,
Khattab & Zaharia 2020), since the mean vector of a long turn hides single words. A word that is similar to something in
every passage does not discriminate, so similarities are standardised over the candidates, word by word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .cosines import DIGITS
from .lexicon import Lexicon

Nearness = NDArray[np.float64]

LEAST_SPREAD = 0.05  # of cosines: smaller differences are not amplified
MOST_WORDS = 500  # of a passage that are compared
MOST_DISTINCT = 6_000  # of all passages that are compared, those of the first passages
MOST_ASKED = 60  # words of a question that are compared


def nearness(asked: Sequence[str], said: Sequence[Sequence[str]], lexicon: Lexicon) -> Nearness:
    """The highest cosine of each word of the question with the words of each passage: shape (passages, asked), 0..1.

    A passage is given by its distinct words; one without words has zeros.
    """
    found = np.zeros((len(said), len(asked)))
    places: dict[str, int] = {}
    rows = [_places(some[:MOST_WORDS], places) for some in said]
    if not asked or not places:
        return found
    words = lexicon.vectors(list(places)).astype(np.float64)
    cosines = words @ lexicon.vectors(asked).astype(np.float64).T
    speaking = [place for place, row in enumerate(rows) if row]
    starts = np.cumsum([0, *(len(rows[place]) for place in speaking[:-1])])
    found[speaking] = np.maximum.reduceat(cosines[[one for row in rows for one in row]], starts)
    return found.clip(0.0, 1.0)


def _places(words: Sequence[str], places: dict[str, int]) -> list[int]:
    """The place of each word; words beyond `MOST_DISTINCT` get none."""
    if len(places) < MOST_DISTINCT:
        return [places.setdefault(word, len(places)) for word in words]
    return [place for word in words if (place := places.get(word)) is not None]


def related(near: Nearness, weights: Sequence[float]) -> list[float]:
    """For each passage, the weighted mean of its standardised similarities to the words.

    `near` has shape (passages, words). A value above 0 is more similar than the mean of the candidates.
    """
    if not near.size or not sum(weights):
        return [0.0] * len(near)
    standard = (near - near.mean(axis=0)) / (near.std(axis=0) + LEAST_SPREAD)
    means: Nearness = standard @ np.asarray(weights) / sum(weights)
    found: list[float] = means.round(DIGITS).tolist()
    return found
