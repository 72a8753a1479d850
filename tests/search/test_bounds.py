"""A search is bounded whatever is stored: characters, words and bytes."""

from __future__ import annotations

import random
import string
import tracemalloc
from collections.abc import Callable

import pytest

from memory.backends.firestore.values.sizes import ByteBudget
from memory.models import MemoryItem
from memory.search import recall

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


@pytest.mark.parametrize("questions", [1, 4])
def test_results_end_before_they_exceed_their_bytes(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    """The best ones are read, whatever order the database has, and results say that some were left out."""
    for number in range(30):
        make_item(text_content=f"{'apple ' * (number + 1)}{'x' * 3_000}", session_id=f"s{number}")
    items = MemoryItem.objects.for_user("ada")
    whole = items.search("apple", limit=30)
    assert len(whole) == 30
    assert not whole.is_cut
    monkeypatch.setattr(recall, "RESULT_BYTES", questions * 50_000)
    for found in items.search_many(["apple"] * questions, limit=30):
        assert found.is_cut
        assert 5 < len(found) < 20
        assert [item.pk for item in found] == [item.pk for item in whole[: len(found)]]
    monkeypatch.setattr(recall, "RESULT_BYTES", 1)
    assert [item.pk for item in items.search("apple", limit=30)] == [whole[0].pk]
    assert not items.search("apple", limit=1).is_cut
