"""Cosines: exact, and the nearest rows in one order wherever they are compared."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.embedding import Vectors, normalized
from memory.search.cosines import DIGITS, exact, nearest


def unit(rows: int, dimension: int, seed: int) -> Vectors:
    chance = np.random.default_rng(seed)
    return normalized(chance.normal(size=(rows, dimension)).astype(np.float32))


def test_exact_beyond_single_precision() -> None:
    """Stored numbers are single precision, cosines are not: two that differ in the eighth digit stay distinct."""
    one = np.array([[3.0, 4.0], [3.0000002, 4.0], [0.0, 0.0]], np.float32)
    found = exact(one, np.array([1.0, 0.0], np.float32))
    wanted = [0.6, float(one[1][0]) / float(np.hypot(*one[1].astype(np.float64)))]
    assert found.tolist() == [0.6, round(wanted[1], DIGITS), -1.0]
    assert found[1] > found[0]


def test_equal_ones_by_id() -> None:
    """Equal vectors are ordered by id, also if there are more of them than the limit."""
    same = np.repeat(unit(1, 8, 0), 5, axis=0)
    assert [place for place, _ in nearest(same, same[0], ["e", "b", "d", "a", "c"], 3)] == [3, 1, 4]


def test_of_some_places_alone() -> None:
    """Rows outside of `among` are not found, however near."""
    rows = unit(6, 8, 1)
    found = nearest(rows, rows[2], list("abcdef"), 10, np.array([1, 4, 5]))
    assert {place for place, _ in found} == {1, 4, 5}


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 20), st.sampled_from([2, 64, 256, 2048]), st.integers(0, 10**6))
def test_nothing_near_is_missed(rows: int, limit: int, dimension: int, seed: int) -> None:
    """The preselection in single precision omits none of the nearest rows in double precision."""
    vectors = unit(rows, dimension, seed)
    vectors[1::3] = normalized(vectors[::3][: len(vectors[1::3])] + np.float32(1e-7))
    ids = [f"{number:04}" for number in range(rows)]
    cosines = exact(vectors, vectors[0])
    wanted = sorted(range(rows), key=lambda place: (-cosines[place], ids[place]))[:limit]
    assert [place for place, _ in nearest(vectors, vectors[0], ids, limit)] == wanted
