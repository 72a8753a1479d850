"""Ranks the entries of a corpus by how well they answer a question. Pure, with numpy.

A score is the logistic function of a sum: of each feature (`features`) times its weight (`weights`), and a constant.
The weights depend on the shape of the memory, which is seen in the data: whether it is a dialogue of equals or a person
with an assistant, and whether the question is in a script without spaces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .corpus import Corpus
from .features import FEATURES, Asked, Floats, View, asked, features
from .weights import WEIGHTS

__all__ = ["Asked", "Ranked", "asked", "rank"]

SHAPES = ("every", "equals", "unspaced")
"""The shapes that weights are for: every memory, a dialogue of equals, a question in a script without spaces."""

_OTHERS = ("assistant", "tool", "system")


@dataclass(frozen=True)
class Ranked:
    """A place in the corpus, its score from 0 to 1, and the parts of it.

    The logistic function of the parts' sum is the score. `same` are the places of other allowed entries with this text.
    """

    place: int
    score: float
    parts: Mapping[str, float]
    same: tuple[int, ...] = ()


def rank(question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None = None, limit: int = 10) -> list[Ranked]:
    """The entries that answer a question best, best first, each text once; equal scores newest first, then by id.

    `allowed` is a mask of the entries that may be found; others still count as neighbours and for rarities.
    """
    if not len(corpus):
        return []
    view = View(question, corpus, allowed)
    values = features(view)
    parts = values * weights(view)
    scores = parts.sum(axis=1)
    order = sorted(
        range(len(scores)),
        key=lambda at: (-scores[at], -corpus.time[view.places[at]], corpus.ids[view.places[at]]),
    )
    found: dict[int, list[int]] = {}
    for at in order:
        found.setdefault(int(corpus.digest[view.places[at]]), []).append(at)
    best = list(found.values())[:limit]
    return [
        Ranked(
            int(view.places[at]),
            1 / (1 + math.exp(-float(scores[at]))),
            {name: float(part) for name, part in zip(FEATURES, parts[at], strict=True) if part},
            tuple(int(view.places[other]) for other in others),
        )
        for at, *others in best
    ]


def shapes(view: View) -> Floats:
    """How much of each of `SHAPES` a question and a memory have: 0 to 1."""
    roles = {view.corpus.roles[place] for place in np.unique(view.corpus.role).tolist()}
    letters = [character for character in view.question.text if character.isalnum()]
    unspaced = sum(character >= "\u3040" for character in letters) / max(1, len(letters))
    return np.array([1.0, float(roles.isdisjoint(_OTHERS)), unspaced])


def weights(view: View) -> Floats:
    """The weight of each feature for this question and memory."""
    table = np.array([[WEIGHTS.get(name, {}).get(shape, 0.0) for name in FEATURES] for shape in SHAPES])
    mixed: Floats = shapes(view) @ table
    return mixed
