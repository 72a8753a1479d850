"""A search is bounded whatever is stored: characters, words and bytes."""

from __future__ import annotations

import random
import string
import time
import tracemalloc
from collections.abc import Callable

import pytest

from memory.backends.firestore.values.sizes import ByteBudget
from memory.models import MemoryItem
from memory.search import related
from memory.search.kept import kept_by_text

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ASKED = "apple banana cherry grape lemon mango"
MIB = 1024 * 1024


def words(count: int, seed: int) -> str:
    """Words that no other text has."""
    chosen = random.Random(seed)  # noqa: S311 - no secret
    return " ".join("".join(chosen.choices(string.ascii_lowercase, k=8)) for _ in range(count))


@pytest.mark.embedded("the emulator takes minutes to store these texts")
def test_texts_of_many_distinct_words_cost_little(make_item: Callable[..., MemoryItem]) -> None:
    """Sixty texts of 3,000 distinct words each, which all match: 4.6 CPU-seconds and 300 MB without the bounds."""
    for number in range(60):
        make_item(text_content=f"{ASKED} {words(3_000, number)}", session_id=f"s{number % 7}")
    MemoryItem.objects.for_user("ada").search("hello", limit=1)  # loads the model
    tracemalloc.start()
    started = time.process_time()
    found = MemoryItem.objects.for_user("ada").search(ASKED, limit=100)
    seconds, (_, most) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 60
    assert most < 150 * MIB
    assert seconds < 5  # with the tracing, which takes most of it


def test_words_beyond_the_most_are_not_compared_by_their_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of the first passages are; those of later ones if they are the same words."""
    asked: list[int] = []

    class Counting:
        def vectors(self, some: list[str]) -> object:
            import numpy as np

            asked.append(len(some))
            return np.ones((len(some), 2), np.float32)

    monkeypatch.setattr(related, "MOST_DISTINCT", 5)
    said = [["a", "b", "c"], ["d", "e", "f"], ["g", "a"], ["h"]]
    found = related.nearness(["q"], said, Counting())  # type: ignore[arg-type]
    assert asked == [6, 1]
    assert found[:, 0].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_the_cache_of_texts_is_bounded_by_their_characters() -> None:
    """Large texts push out others; a text that was used is kept longer."""
    made: list[str] = []

    @kept_by_text
    def value(text: str, language: str = "english") -> int:
        made.append(text[:1])
        return len(text)

    large = "l" * 1_500_000
    assert [value(one, "english") for one in ("a", large, "a", "b" * 600_000, "a", large)] == [
        1, 1_500_000, 1, 600_000, 1, 1_500_000,
    ]  # fmt: skip
    assert made == ["a", "l", "b", "l"]


def test_a_budget_takes_at_least_one_row() -> None:
    """And is then spent for all that come after."""
    budget = ByteBudget(10)
    assert list(budget.take([("x" * 100,), ("y",)])) == [("x" * 100,)]
    assert budget.is_spent
    assert list(budget.take([("z",)])) == []
