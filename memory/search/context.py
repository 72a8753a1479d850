"""The vector of a turn in its context: the turns before an answer show what it is about.

"The oboe." is not similar to a question about instruments; after "Which instrument does your sister play?" it is.
Vectors in context have a higher recall than vectors of single turns (docs/search.md, "What it finds"). Only earlier
turns count, so stored vectors do not change when later turns arrive. `embedding.CONTEXT` is the version of these rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory.embedding import normalized

from .embedders import Vectors

SHARES = (1.0, 0.8, 0.6, 0.4)
"""Of a turn itself, of the one before it in its session, and so on: `embedding.EARLIER` of them."""


def in_context(own_and_earlier: Vectors) -> Vectors:
    """One vector of shape (dimension,) for a turn.

    `own_and_earlier` has shape (turns, dimension): the turn's own vector, that of the turn before it, and so on; one to
    four rows. The vector of a turn without meaning for the model (zeros) is zeros, whatever came before it.
    """
    own_and_earlier = own_and_earlier[: len(SHARES)]
    if not own_and_earlier[0].any():
        return np.zeros_like(own_and_earlier[0])
    shares = np.asarray(SHARES[: len(own_and_earlier)], np.float32)
    return normalized(shares @ own_and_earlier)


def all_in_context(vectors: Vectors, sessions: Sequence[str]) -> Vectors:
    """The vectors of many turns in context, in the shape of `vectors`; rows are in order of time."""
    rows: dict[str, list[int]] = {}
    made = np.empty_like(vectors)
    for row, session in enumerate(sessions):
        said = rows.setdefault(session, [])
        said.append(row)
        made[row] = in_context(vectors[said[: -len(SHARES) - 1 : -1]])
    return made
