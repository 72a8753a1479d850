"""How near the words of a passage come to those of a question: "afraid" to "scared", "the bank" to "loan".

Each of the question's words is compared with all words of a passage and counts by the one that is nearest to it (late
interaction, Khattab & Zaharia 2020): the mean vector of a long turn blurs what one of its words says. A word that comes
near to something in every passage tells nothing, so nearness is standardised over the candidates, word by word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .cosines import DIGITS
from .lexicon import Lexicon

Nearness = NDArray[np.float64]

LEAST_SPREAD = 0.05  # of cosines: what differs by less is not stretched
MOST_WORDS = 500  # of a passage that are compared


def nearness(asked: Sequence[str], said: Sequence[Sequence[str]], lexicon: Lexicon) -> Nearness:
    """The highest cosine of each word that is asked for with a passage's words: of shape (passages, asked), 0..1.

    A passage is given by its distinct words; without any it is near to nothing.
    """
    found = np.zeros((len(said), len(asked)))
    places: dict[str, int] = {}
    rows = [[places.setdefault(word, len(places)) for word in some[:MOST_WORDS]] for some in said]
    if not asked or not places:
        return found
    words = lexicon.vectors(list(places)).astype(np.float64)
    cosines = words @ lexicon.vectors(asked).astype(np.float64).T
    speaking = [place for place, row in enumerate(rows) if row]
    starts = np.cumsum([0, *(len(rows[place]) for place in speaking[:-1])])
    found[speaking] = np.maximum.reduceat(cosines[[one for row in rows for one in row]], starts)
    return found.clip(0.0, 1.0)


def related(near: Nearness, weights: Sequence[float]) -> list[float]:
    """Of each passage, the mean of its standardised nearness to the words, each with its weight.

    `near` has shape (passages, words). Above 0 is nearer than the candidates are on the whole.
    """
    if not near.size or not sum(weights):
        return [0.0] * len(near)
    standard = (near - near.mean(axis=0)) / (near.std(axis=0) + LEAST_SPREAD)
    means: Nearness = standard @ np.asarray(weights) / sum(weights)
    found: list[float] = means.round(DIGITS).tolist()
    return found
