"""Distances between vectors, and the search for the nearest."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from memory.distances import FUNCTIONS, CosineDistance, L2Distance, MaxInnerProduct, VectorDistance, _on_packed
from memory.fields import pack
from memory.models import MemoryItem

FLOATS = st.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-6)
PAIRS = st.integers(1, 8).flatmap(lambda size: st.tuples(*[st.lists(FLOATS, min_size=size, max_size=size)] * 2))


def by_hand(name: str, one: list[float], other: list[float]) -> float | None:
    """The textbook's formula, in plain Python."""
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    match name:
        case "memory_l2_distance":
            return math.dist(one, other)
        case "memory_max_inner_product":
            return -product
        case _:
            norms = math.hypot(*one) * math.hypot(*other)
            return 1 - product / norms if norms else None


@pytest.mark.parametrize("name", FUNCTIONS)
@given(pair=PAIRS)
def test_distances_are_the_textbooks(name: str, pair: tuple[list[float], list[float]]) -> None:
    """On packed vectors, as SQLite calls them."""
    found, wanted = _on_packed(FUNCTIONS[name])(pack(pair[0]), pack(pair[1])), by_hand(name, *pair)
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        scale = math.hypot(*pair[0]) * math.hypot(*pair[1]) if name == "memory_max_inner_product" else 1
        assert math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9 * max(scale, 1))


@pytest.mark.django_db(databases=["default", "memory"])
class TestNearest:
    """`order_by(distance)[:k]` and `.nearest()`."""

    @pytest.fixture(autouse=True)
    def items(self, make_item: Callable[..., MemoryItem]) -> None:
        """Vectors around a circle, and items that have no comparable one."""
        for name, embedding in (("east", [1, 0]), ("north", [0, 2]), ("west", [-3, 0]), ("northeast", [5, 5])):
            make_item(id=name, embedding=embedding)
        make_item(id="none")
        make_item(id="other", embedding=[1, 0, 0])
        make_item(id="bobs", user_id="bob", embedding=[1, 0])

    @pytest.mark.parametrize(
        ("distance", "names", "nearest"),
        [
            (CosineDistance, ["east", "northeast", "north"], 0.0),
            (L2Distance, ["east", "north", "west"], 0.0),
            (MaxInnerProduct, ["northeast", "east", "north"], -5.0),
        ],
    )
    def test_nearest(self, distance: type[VectorDistance], names: list[str], nearest: float) -> None:
        """The user's own, nearest first, with their distances."""
        found = list(MemoryItem.objects.for_user("ada").nearest([1, 0], 3, distance))
        assert [item.pk for item in found] == names
        assert found[0].distance == pytest.approx(nearest)  # type: ignore[attr-defined]

    def test_items_without_a_comparable_vector_are_left_out(self) -> None:
        """Items without a vector, or with another dimension, are never neighbours, for any limit."""
        assert MemoryItem.objects.for_user("ada").nearest([1, 0], 100).count() == 4

    @pytest.mark.parametrize("vector", [[], [math.nan], ["1"], "text", [0.0] * 2049])
    def test_a_bad_query_is_refused(self, vector: list[float]) -> None:
        """An invalid vector raises before any query."""
        with pytest.raises(ValidationError):
            MemoryItem.objects.nearest(vector, 5)
