"""A search is bounded whatever is stored: characters, words and bytes."""

from __future__ import annotations

import random
import string
import tracemalloc
from collections.abc import Callable

import pytest

from memory.backends.firestore.values.sizes import ByteBudget
from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ASKED = "apple banana cherry grape lemon mango"
MIB = 1024 * 1024


def words(count: int, seed: int) -> str:
    """Words that no other text has."""
    chosen = random.Random(seed)  # noqa: S311 - no secret
    return " ".join("".join(chosen.choices(string.ascii_lowercase, k=8)) for _ in range(count))


@pytest.mark.embedded("the emulator takes minutes to store these texts")
def test_texts_of_many_distinct_words_cost_little(make_item: Callable[..., MemoryItem]) -> None:
    """Sixty texts of 3,000 distinct words each, which all match: 300 MB without the bounds."""
    for number in range(60):
        make_item(text_content=f"{ASKED} {words(3_000, number)}", session_id=f"s{number % 7}")
    MemoryItem.objects.for_user("ada").search("hello", limit=1)  # loads the model
    tracemalloc.start()
    found = MemoryItem.objects.for_user("ada").search(ASKED, limit=100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 60
    assert most < 150 * MIB


def test_a_budget_takes_at_least_one_row() -> None:
    """And is then spent for all that come after."""
    budget = ByteBudget(10)
    assert list(budget.take([("x" * 100,), ("y",)])) == [("x" * 100,)]
    assert budget.is_spent
    assert list(budget.take([("z",)])) == []
