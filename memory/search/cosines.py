"""Cosines of many vectors with one: in single precision to tell which may be the nearest, exact for those.

Firestore computes them in double precision from the stored single ones. To find the same in the same order, whoever
compares vectors here says the same to ten digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .embedders import Vectors

Places: TypeAlias = NDArray[np.intp]

DIGITS: Final = 10
"""What is left of a cosine: beyond, the order in which products are added up shows."""

SLACK: Final = 2 * 2048 * 2**-24
"""Single precision is off by less, twice, for unit vectors of up to 2,048 dimensions: the bound n u for a product of n
terms, https://doi.org/10.1137/1.9780898718027 (section 3.1)."""


def exact(vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """The cosine of each row of `vectors` (rows, dimension) with `query` (dimension); -1 where one has no length."""
    rows, one = vectors.astype(np.float64), query.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    found: NDArray[np.float64] = np.divide(rows @ one, lengths, out=np.full(len(rows), -1.0), where=lengths > 0)
    return found.round(DIGITS)


def nearest(
    vectors: Vectors, query: Vectors, ids: Sequence[str], limit: int, among: Places | None = None
) -> list[tuple[int, float]]:
    """The places of the rows with the highest cosines, and those, highest first; of equal ones the lower id first.

    Rows and `query` have length 1. With `among` of these places alone.
    """
    places = np.arange(len(vectors)) if among is None else among
    if len(places) > limit > 0:
        rough = vectors @ query if among is None else vectors[among] @ query
        places = places[rough >= np.partition(rough, -limit)[-limit] - SLACK]
    found = zip(places.tolist(), exact(vectors[places], query).tolist(), strict=True)
    return sorted(found, key=lambda one: (-one[1], ids[one[0]]))[:limit]
