"""Options of searches on querysets: several questions, least scores, hidden and repeated items, rerankers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test.utils import CaptureQueriesContext

from memory.models import MemoryItem
from memory.search import MIN_SCORE
from memory.search.reranking import MOST_RERANKED

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


class Alphabetical:
    """Texts in the order of the alphabet; it sees no hidden ones."""

    seen: list[str] = []

    def name(self) -> str:
        return "alphabetical"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """By the first letter."""
        Alphabetical.seen = list(texts)
        return [-ord(text[0]) for text in texts]


@pytest.fixture
def said(make_item: Callable[..., MemoryItem]) -> None:
    """Items of Ada, some of them hidden, repeated or without text."""
    for number, text in enumerate(
        ["zebras sleep near the lake", "apes sleep near the lake", "the lake is deep", "the lake is deep", "", None]
    ):
        make_item(id=f"i{number}", text_content=text, item_type="fact" if number == 3 else "message")
    make_item(id="h", text_content="bears sleep near the lake", metadata={"hidden": True, "n": 1})


def ids(found: Sequence[MemoryItem]) -> list[str]:
    return [item.pk for item in found]


def test_several_questions_read_the_memory_once(said: None) -> None:
    """Each is answered as if it were alone; the asynchronous twin too."""
    items = MemoryItem.objects.for_user("ada")
    questions = ["Who sleeps near the lake?", "How deep is the lake?", ""]
    with CaptureQueriesContext(connections["memory"]) as alone:
        expected = [ids(items.search(question, limit=2)) for question in questions]
    with CaptureQueriesContext(connections["memory"]) as together:
        found = [ids(some) for some in items.search_many(questions, limit=2)]
    assert found == expected
    assert found[2] == []
    assert len(together) < len(alone)
    assert [ids(some) for some in async_to_sync(items.asearch_many)(questions, limit=2)] == expected
    assert items.search_many([]) == []


def test_a_question_in_the_first_person_is_of_its_asker(make_item: Callable[..., MemoryItem]) -> None:
    for number, speaker in enumerate(["Bo", "Cy"]):
        make_item(id=f"i{number}", text_content=f"My train was late, said {number}", metadata={"speaker": speaker})
    items = MemoryItem.objects.for_user("ada")
    parts = [
        {one.pk: one.score_parts.get("user_first", 0) for one in items.search("When was my train late?", **asker)}
        for asker in ({"explain": True, "asker": "Bo"}, {"explain": True, "asker": "Cy"})
    ]
    assert parts[0]["i0"] > parts[0]["i1"]
    assert parts[1]["i1"] > parts[1]["i0"]


def test_scores_are_probabilities_and_have_a_least_one(said: None) -> None:
    """Results below `min_score` are left out."""
    items = MemoryItem.objects.for_user("ada")
    every: list[Any] = items.search("Who sleeps near the lake?")
    assert all(0 <= one.score <= 1 for one in every)
    assert 0 < MIN_SCORE < 1
    least = every[1].score
    assert ids(items.search("Who sleeps near the lake?", min_score=least)) == ids(every)[:2]
    for wrong, error in (
        (1.1, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        ("1", TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match="min_score"):
            items.search("lake", min_score=wrong)  # type: ignore[arg-type]


def test_hidden_items_are_found_if_asked_for(said: None) -> None:
    """Also by a filter that the index does not know."""
    items = MemoryItem.objects.for_user("ada")
    assert "h" not in ids(items.search("bears near the lake"))
    assert ids(items.search("bears near the lake", hidden=True))[0] == "h"
    assert ids(items.filter(metadata__n=1).search("bears near the lake")) == []
    assert ids(items.filter(metadata__n=1).search("bears near the lake", hidden=True)) == ["h"]
    MemoryItem.objects.get(pk="h").delete()
    MemoryItem.objects.filter(pk="i0").update(metadata={"hidden": True})
    assert "i0" not in ids(items.search("zebras near the lake"))


def test_equal_texts_are_one_result(said: None) -> None:
    """With the ids of the others, as far as they pass the filters; items without text are none."""
    items = MemoryItem.objects.for_user("ada")
    found: list[Any] = items.search("How deep is the lake?")
    assert len(found) == 3
    assert {found[0].pk, *found[0].same} == {"i2", "i3"}
    (fact,) = items.of_type("fact").search("How deep is the lake?")
    assert (fact.pk, fact.same) == ("i3", ())  # type: ignore[attr-defined]


def test_a_reranker_orders_results(said: None, settings: Any) -> None:
    """It sees more than are returned, but no hidden, weak or repeated ones. Scores stay those of the search."""
    settings.MEMORY = {**settings.MEMORY, "RERANKER": f"{__name__}.Alphabetical"}
    items = MemoryItem.objects.for_user("ada")
    found: list[Any] = items.search("Who sleeps near the lake?", limit=2)
    assert [str(one.text_content)[0] for one in found] == ["a", "t"]
    assert len(Alphabetical.seen) == 3 <= MOST_RERANKED
    settings.MEMORY = {**settings.MEMORY, "RERANKER": None}
    scores = {one.pk: one.score for one in items.search("Who sleeps near the lake?")}  # type: ignore[attr-defined]
    assert {one.pk: one.score for one in found} == pytest.approx({one.pk: scores[one.pk] for one in found})


def test_the_only_item_is_found_by_meaning(make_item: Callable[..., MemoryItem]) -> None:
    """A question that shares no word with it."""
    make_item(text_content="I like tea.")
    assert len(MemoryItem.objects.for_user("ada").search("what does she drink?")) == 1
