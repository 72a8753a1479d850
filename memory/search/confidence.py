"""How likely a result is evidence: a score from 0 to 1 that can be compared across searches. Pure, with numpy.

The ranking only orders the candidates of one question. Whether the best of them answers it is seen in the share of the
candidates' probability that it has, and in what all candidates have in common with the question: its words, its
meaning. The logistic function of a weighted sum of these is the score; its weights are fitted on the first ten results
of all labelled questions, unanswerable ones among them, and on questions that were asked of other memories.
"""

from __future__ import annotations

import numpy as np

from .arrays import Floats
from .features import Features
from .view import View
from .weights import CONFIDENCE

COMMON = ("cover", "unknown", "strange", "near", "alike", "related", "terms", "unspaced", "constant")
"""What all candidates share: the greatest share of the question's words in a candidate; the share that the memory does
not have, and whether it has none of them; the greatest centred and plain cosine; the greatest similarity of words; the
log of the number of words; whether it is in a script without spaces; and a constant."""

SIGNALS = ("share", "spread", *COMMON)
"""The log of a result's share of the candidates' probability, the entropy of these shares, and `COMMON`. Only the first
differs between the results of a question, so scores are in the order of the ranking."""

LEAST_SHARE = 1e-6


def common(view: View, features: Features) -> Floats:
    """The signals that do not depend on the ranking's weights, of shape (COMMON,)."""
    raw = features.raw
    return np.array(
        [
            raw["cover"].max(initial=0.0),
            1 - view.words.rarity.sum() / view.words.whole,
            float(not view.words.known),
            raw["centred"].max(initial=0.0),
            raw["own"].max(initial=0.0),
            raw["related_raw"].max(initial=0.0),
            np.log1p(len(view.terms)),
            view.unspaced,
            1.0,
        ]
    )


def signals(common: Floats, scores: Floats) -> Floats:
    """The signals of the candidates, of shape (candidates, SIGNALS). `scores` are those of the ranking."""
    if not len(scores):
        return np.zeros((0, len(SIGNALS)))
    shares = np.exp(scores - scores.max())
    shares = np.maximum(shares / shares.sum(), LEAST_SHARE)
    spread = -(shares * np.log(shares)).sum()
    rest = np.tile(np.concatenate([[spread], common]), (len(scores), 1))
    return np.concatenate([np.log(shares)[:, None], rest], axis=1)


def confidence(signals: Floats) -> Floats:
    """The score of each candidate, 0 to 1, in the order of the ranking's scores."""
    weights = np.array([CONFIDENCE.get(name, 0.0) for name in SIGNALS])
    scores: Floats = 1 / (1 + np.exp(-(signals @ weights)))
    return scores
