"""The features of the best candidates for a question: numbers from which `relevance` makes a score. Pure, with numpy.

Each module has those of one kind: `lexical` of words, `vectors` of vectors, `related` of the vectors of single words,
`said` of who says what, and when. Raw values of memories of different kinds are not comparable, so a feature is used as
its standard score among the candidates (`z`), as its ratio to the best candidate (`m`), or as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, ratio
from ..view import View
from .lexical import LEXICAL, lexical_features
from .related import RELATED, related_features
from .said import SAID, said_features
from .vectors import VECTORS, vector_features

FEATURES = (
    *(f"z:{name}" for name in (*LEXICAL, *VECTORS, *RELATED)),
    *(f"m:{name}" for name in LEXICAL),
    *SAID,
)
"""The columns of `features`: `z:` standard scores among the candidates, `m:` ratios to the best, others as they are."""


@dataclass(frozen=True)
class Features:
    """The features of the candidates, of shape (candidates, FEATURES), and the raw values by name."""

    values: Floats
    raw: Mapping[str, Floats]


def features(view: View) -> Features:
    """The features of the candidates of a question."""
    raw = {**lexical_features(view), **vector_features(view), **related_features(view), **said_features(view)}
    standard = _standard(np.stack([raw[name] for name in (*LEXICAL, *VECTORS, *RELATED)]))
    columns = [ratio(raw[name]) for name in LEXICAL]
    columns += [raw[name] for name in SAID]
    return Features(np.concatenate([standard, np.stack(columns)]).T, raw)


def _standard(rows: Floats) -> Floats:
    """The standard scores of the values of each row; zeros if they are equal."""
    if not rows.shape[1]:
        return rows
    apart = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(apart).mean(axis=1, keepdims=True))
    scores: Floats = np.divide(apart, spread, out=np.zeros_like(rows), where=spread > 1e-9)
    return scores
