"""The vector of a turn in its conversation: what it says, with what was said before it.

"In oil, last summer" answers a question about painting only beside the turn that asked. Later turns are not in it, so
that nothing has to be written again when they come. Pure.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .embedders import Vectors
from .embedders.base import normalized

WEIGHTS: Final = (1.0, 0.8, 0.6, 0.4)
"""Of the turn itself, of the one before it, and so on."""

EARLIER: Final = len(WEIGHTS) - 1


def in_context(vectors: Vectors) -> Vectors:
    """One vector, of shape (dimension,), of a turn's own (the first row) and of those before it, nearest first.

    Of length 1, or zeros where all of them are. Rows beyond the fourth do not count.
    """
    some = vectors[: len(WEIGHTS)]
    weights = np.array(WEIGHTS[: len(some)], np.float32)
    return normalized(weights @ some)
