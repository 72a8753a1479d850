"""The vector of a turn in its context: what was said just before tells what an answer is about.

"The oboe." resembles no question; with "Which instrument does your sister play?" before it, it does. Vectors of turns
in their context find more of what is asked for than vectors of turns alone (docs/search.md, "What it finds"). Only
earlier turns count: a vector that has been stored is final when later turns come. `embedding.CONTEXT` names these
rules.
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

    `own_and_earlier` has shape (turns, dimension): the turn's own vector, the one of the turn before it, and so on;
    one to four rows. A turn that says nothing to the model (zeros) has no vector, whatever came before it.
    """
    own_and_earlier = own_and_earlier[: len(SHARES)]
    if not own_and_earlier[0].any():
        return np.zeros_like(own_and_earlier[0])
    shares = np.asarray(SHARES[: len(own_and_earlier)], np.float32)
    return normalized(shares @ own_and_earlier)


def all_in_context(vectors: Vectors, sessions: Sequence[str]) -> Vectors:
    """Those of many turns, of the shape of `vectors`; rows are in the order in which they were said."""
    rows: dict[str, list[int]] = {}
    made = np.empty_like(vectors)
    for row, session in enumerate(sessions):
        said = rows.setdefault(session, [])
        said.append(row)
        made[row] = in_context(vectors[said[: -len(SHARES) - 1 : -1]])
    return made
