"""An index that other rules for words made is recognised, searched meanwhile, and made anew."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from memory.models import MemoryItem, SearchIndex, SearchSegment
from memory.search import background, choosing, tail, terms
from memory.search.directory import SUMMARIES
from memory.search.packing import pack
from memory.search.segment_cache import cache
from memory.search.tail import configured_maker
from memory.search.verifying import state_of
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory"])

USING = "memory"
QUESTION = "Which ferry goes to the island?"
ANSWER = "The white ferry goes to the island at noon."
ARABIC = "رقم الغرفة ٤٧١٢"
"""The number of the room, in Arabic-Indic digits."""


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    cache.clear()
    yield
    assert background.packing_thread.wait(20)
    cache.clear()


def write(*texts: str) -> list[MemoryItem]:
    return MemoryItem.objects.bulk_create(
        MemoryItem(user_id="ada", session_id=f"s{place % 3}", item_type="m", text_content=text)
        for place, text in enumerate(texts)
    )


@pytest.fixture
def outdated(monkeypatch: pytest.MonkeyPatch) -> list[MemoryItem]:
    """An index of earlier rules, which left other digits as they were."""
    items = write(ANSWER, ARABIC, *(f"A note about the island, number {number}." for number in range(20)))
    with monkeypatch.context() as earlier:
        earlier.setattr(terms, "with_ascii_digits", lambda text: text)
        earlier.setattr(tail, "VERSION", terms.VERSION - 1)
        pack("ada", USING)
    cache.clear()
    assert rules() == {f"any@{terms.VERSION - 1}"}
    return items


def rules() -> set[str]:
    """Those that made the segments of the directory."""
    return {listed["rules"] for listed in SearchIndex.objects.using(USING).get(user_id="ada").segments}


def found(question: str, **options: Any) -> list[str | None]:
    results = MemoryItem.objects.search(question, user_id="ada", limit=100, **options)
    assert len({item.pk for item in results}) == len(results)
    assert all(0 <= item.score <= 1 for item in results)
    return [item.text_content for item in results]


def command(*options: str) -> str:
    out = io.StringIO()
    call_command("memory_index", *options, "--database", USING, stdout=out, stderr=out)
    return out.getvalue()


def in_background() -> None:
    """A search that finds a long tail has it indexed."""
    write(*(f"Another note about the island, number {number}." for number in range(20)))
    found(QUESTION)
    assert background.packing_thread.wait(20)


def test_it_is_recognised(outdated: list[MemoryItem]) -> None:
    """`--check` says so, and exits with an error, though it has every item."""
    state = state_of("ada", USING, configured_maker())
    assert state.outdated
    assert (state.indexed, state.unindexed, state.gone) == (len(outdated), 0, ())
    with pytest.raises(CommandError, match="1 of 1 indexes differ"):
        command("--check")


def test_it_is_searched_meanwhile(outdated: list[MemoryItem]) -> None:
    """With what was written, changed and deleted since. Digits of other scripts are those that it lacks."""
    assert found(QUESTION)[0] == ANSWER
    assert len(found(QUESTION)) == len(outdated)
    write("The blue ferry goes to another island, at 0815.", "رقم الهاتف ٩٩٣١")
    MemoryItem.objects.filter(pk=outdated[3].pk).delete()
    MemoryItem.objects.filter(pk=outdated[4].pk).update(text_content="The red ferry stays in the harbour.")
    everything = found(QUESTION)
    assert len(everything) == len(outdated) + 1
    assert set(everything[:2]) == {ANSWER, "The blue ferry goes to another island, at 0815."}
    assert "The red ferry stays in the harbour." in everything
    assert outdated[4].text_content not in everything
    assert found("9931")[0] == "رقم الهاتف ٩٩٣١"
    assert outdated[3].text_content not in everything


@pytest.mark.parametrize(
    "mend",
    [lambda: command(), lambda: command("--rebuild"), lambda: command("--pending"), in_background],
    ids=["memory_index", "rebuild", "pending", "search"],
)
@pytest.mark.parametrize("forgotten", [True, False], ids=["another process", "same process"])
def test_it_is_made_anew(mend: Callable[[], Any], forgotten: bool, outdated: list[MemoryItem], settings: Any) -> None:
    """By each way of indexing, in the process that knew it and in others; nothing of the old one stays."""
    settings.MEMORY = {**settings.MEMORY, "INDEX_AFTER": 12}
    found(QUESTION)
    before = set(SearchSegment.objects.using(USING).values_list("pk", flat=True))
    mend()
    if forgotten:
        cache.clear()
    assert rules() == {f"any@{terms.VERSION}"}
    assert before.isdisjoint(SearchSegment.objects.using(USING).values_list("pk", flat=True))
    assert command("--check") == "1 indexes are up to date.\n"
    assert found("4712")[0] == ARABIC
    assert found(QUESTION)[0] == ANSWER
    assert len(found(QUESTION)) == MemoryItem.objects.for_user("ada").count()
    assert command() == "0 items indexed, 0 entries removed.\n"


def test_a_large_one_is_made_anew(outdated: list[MemoryItem], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its summaries, though a search reads only some of its segments."""
    monkeypatch.setattr(choosing, "MOST_ITEMS", 10)
    for module in ("choosing", "packing"):
        monkeypatch.setattr(f"memory.search.{module}.MOST_BYTES", 1_000)
    command("--rebuild")
    with monkeypatch.context() as earlier:
        earlier.setattr(tail, "VERSION", terms.VERSION - 1)
        command("--rebuild")
    cache.clear()
    assert rules() == {f"any@{terms.VERSION - 1}", SUMMARIES}
    assert ANSWER in found(QUESTION)
    command()
    cache.clear()
    assert rules() == {f"any@{terms.VERSION}", SUMMARIES}
    assert command("--check") == "1 indexes are up to date.\n"


@pytest.mark.parametrize("store", [FirestoreMemoryManager, ConcreteMemoryManager])
def test_least_scores_of_stores_hold_before_and_after(store: type[MemoryManager], outdated: list[MemoryItem]) -> None:
    """Results with at least a score are the first ones of all, by an old index and by the new one."""
    manager = store()
    manager.initialize()
    for step in ("outdated", "anew"):
        results = asyncio.run(manager.search("ada", QUESTION, limit=100))
        scores = [item.score for item in results]
        assert scores == sorted(scores, reverse=True), step
        least = (scores[0] + scores[1]) / 2
        above = asyncio.run(manager.search("ada", QUESTION, limit=100, min_score=least))
        assert [item.text_content for item in above] == [ANSWER], step
        assert asyncio.run(manager.search("ada", QUESTION, min_score=1.0)) == [], step
        command("--rebuild")
    manager.close()
