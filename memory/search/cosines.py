"""Cosines of many vectors with one: single precision selects candidates, double precision orders them.

Firestore computes in double precision from stored single-precision vectors. All sources round cosines to ten digits, so
that they return the same results in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .embedders import Vectors

Places: TypeAlias = NDArray[np.intp]

DIGITS: Final = 10
"""Digits of a cosine. Further digits depend on the order in which products are summed."""

SLACK: Final = 2 * 2048 * 2**-24
"""Twice the error bound of single precision for unit vectors of up to 2,048 dimensions: n u for a product of n terms,
https://doi.org/10.1137/1.9780898718027 (section 3.1)."""


def exact(vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """The cosine of each row of `vectors` (rows, dimension) with `query` (dimension); -1 for zero vectors."""
    rows, one = vectors.astype(np.float64), query.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    found: NDArray[np.float64] = np.divide(rows @ one, lengths, out=np.full(len(rows), -1.0), where=lengths > 0)
    return found.round(DIGITS)


def nearest(
    vectors: Vectors, query: Vectors, ids: Sequence[str], limit: int, among: Places | None = None
) -> list[tuple[int, float]]:
    """The indices of the rows with the highest cosines, with the cosines, highest first; ties by id.

    Rows and `query` have length 1. `among` restricts the rows to these indices.
    """
    places = np.arange(len(vectors)) if among is None else among
    if len(places) > limit > 0:
        rough = vectors @ query if among is None else vectors[among] @ query
        places = places[rough >= np.partition(rough, -limit)[-limit] - SLACK]
    found = zip(places.tolist(), exact(vectors[places], query).tolist(), strict=True)
    return sorted(found, key=lambda one: (-one[1], ids[one[0]]))[:limit]
