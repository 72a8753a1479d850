"""Helpers of the ranking's numpy code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Vectors

from .corpus import Corpus, Integers

Floats = NDArray[np.float64]


def ratio(values: Floats) -> Floats:
    """The values as shares of the greatest one; zeros if none is above 0."""
    most = values.max(initial=0.0)
    return values / most if most > 0 else np.zeros(len(values))


def has(corpus: Corpus, places: Integers, flag: int) -> Floats:
    """1 for entries with a flag; 0 for the place -1."""
    return ((places >= 0) & ((corpus.flags[places] & flag) > 0)).astype(np.float64)


def unit(vectors: Vectors) -> Vectors:
    """The vectors with length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit
