"""ADK's memory service on the app's search: the behaviours of ADK's own, and traps seen in others."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from google.adk.memory.base_memory_service import BaseMemoryService
from google.adk.memory.memory_entry import MemoryEntry
from google.genai import types

from memory.adapters.adk import DjangoMemoryService, DjangoSessionService
from memory.exceptions import ValidationError
from memory.models import MemoryItem
from tests.adapters import DATABASE
from tests.adapters.test_adk_sessions import ADA, BOB, said

pytestmark = DATABASE


@pytest.fixture
def memory() -> DjangoMemoryService:
    return DjangoMemoryService()


def run(function: Any, *args: Any, **options: Any) -> Any:
    """The result of a coroutine function."""
    return async_to_sync(function)(*args, **options)


def found(memory: DjangoMemoryService, query: str, **who: Any) -> list[str]:
    """The texts of the memories that a search returns."""
    response = run(memory.search_memory, **(who or ADA), query=query)
    return [entry.content.parts[0].text for entry in response.memories]


def remembered(memory: DjangoMemoryService, *texts: str, **who: Any) -> None:
    """Add texts as events."""
    run(memory.add_events_to_memory, **(who or ADA), events=[said(text) for text in texts], session_id="trip")


def test_a_session_is_found(memory: DjangoMemoryService) -> None:
    """After it was added, each event once, however often; with content, author and time."""
    assert isinstance(memory, BaseMemoryService)
    sessions = DjangoSessionService()
    session = run(sessions.create_session, **ADA, session_id="trip")
    run(sessions.append_event, session, said("My favourite dish is risotto with saffron", timestamp=1_700_000_000.5))
    assert found(memory, "favourite dish") == []
    run(memory.add_session_to_memory, session)
    run(sessions.append_event, session, said("You cook it with saffron", "guide"))
    run(memory.add_session_to_memory, session)
    run(memory.add_session_to_memory, run(sessions.get_session, **ADA, session_id="trip"))
    [dish, *_] = run(memory.search_memory, **ADA, query="Which dish is the favourite?").memories
    assert dish.content == session.events[0].content
    assert (dish.author, dish.timestamp) == ("user", "2023-11-14T22:13:20.500000+00:00")
    assert MemoryItem.objects.filter(item_type="memory").count() == 2
    run(sessions.delete_session, **ADA, session_id="trip")
    assert "You cook it with saffron" in found(memory, "saffron")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Номер моего паспорта 4510 778899", "паспорт"),
        ("The door code is 4711", "4711"),
        ("私はPythonを使う", "Python"),
        ("我最喜欢的城市是上海", "上海"),
        ("عيد ميلادي في مارس", "ميلادي"),
        ("Die Größe ist 42", "Größe 42"),
    ],
)
def test_numbers_and_words_of_any_script_are_found(memory: DjangoMemoryService, text: str, query: str) -> None:
    """First, beside others."""
    remembered(memory, "The weather was fine", text, "I bought a green bicycle", "Dinner is at eight")
    assert found(memory, query)[:1] == [text]


def test_results_are_ranked_and_few(memory: DjangoMemoryService) -> None:
    """Ten by default; the best first, not all that share a word."""
    remembered(memory, *(f"I walked the dog in the park on day {day}" for day in range(30)), "The cat is called Minka")
    assert found(memory, "What is the cat called?")[0] == "The cat is called Minka"
    assert len(found(memory, "Where did I walk the dog?")) == 10
    assert len(found(DjangoMemoryService(limit=3, min_score=0), "dog")) == 3
    assert found(memory, "") == found(memory, "  ") == []
    with pytest.raises(ValueError, match="limit"):
        DjangoMemoryService(limit=0)


def test_users_and_apps_are_apart(memory: DjangoMemoryService) -> None:
    """The same words of another user, or in another app, are not found, nor deleted."""
    other = {"app_name": "guides", "user_id": "ada"}
    for who in (ADA, BOB, other):
        remembered(memory, f"The saffron of {who['user_id']} in {who['app_name']}", **who)
    for who in (ADA, BOB, other):
        assert found(memory, "saffron", **who) == [f"The saffron of {who['user_id']} in {who['app_name']}"]
    [entry] = run(memory.search_memory, **BOB, query="saffron").memories
    run(memory.delete_memory, **ADA, memory_id=entry.id)
    run(memory.delete_memory, **other, memory_id=entry.id)
    assert len(found(memory, "saffron", **BOB)) == 1


def test_a_deleted_memory_stays_deleted(memory: DjangoMemoryService) -> None:
    """Even if its session is added again."""
    event = said("The dog is called Rex")
    add = {**ADA, "events": [event, said("The cat is called Minka")], "session_id": "trip"}
    run(memory.add_events_to_memory, **add)
    [dog, *_] = run(memory.search_memory, **ADA, query="dog Rex").memories
    run(memory.delete_memory, **ADA, memory_id=dog.id)
    run(memory.delete_memory, **ADA)
    run(memory.add_events_to_memory, **add)
    assert "The dog is called Rex" not in found(memory, "dog Rex")
    assert MemoryItem.objects.count() == 1


def test_memories_are_added_directly(memory: DjangoMemoryService) -> None:
    """With their metadata; one with an id once."""
    content = types.Content(parts=[types.Part(text="Ada is allergic to nuts")])
    entry = MemoryEntry(content=content, id="m1", author="doctor", timestamp="2026-01-02T03:04:05Z")
    for _ in range(2):
        run(memory.add_memory, **ADA, memories=[entry], custom_metadata={"kind": "health"})
    run(memory.add_memory, **ADA, memories=[MemoryEntry(content=types.Content(parts=[types.Part(text="Nuts!")]))])
    [best, *_] = run(memory.search_memory, **ADA, query="allergic").memories
    assert (best.content, best.author, best.custom_metadata) == (content, "doctor", {"kind": "health"})
    assert best.timestamp == "2026-01-02T03:04:05+00:00"
    assert MemoryItem.objects.count() == 2


def test_what_has_no_text_is_left_out(memory: DjangoMemoryService) -> None:
    """Calls of tools, images, blank texts, and events without content; a bad user is refused."""
    call = types.Part(function_call=types.FunctionCall(name="look", args={}))
    events = [said(""), said("  "), said("partial", partial=True), said("x").model_copy(update={"content": None})]
    events.append(said("x").model_copy(update={"content": types.Content(parts=[call])}))
    run(memory.add_events_to_memory, **ADA, events=events)
    assert MemoryItem.objects.count() == 0
    with pytest.raises(ValidationError):
        run(memory.add_events_to_memory, app_name="guide", user_id="", events=[said("Hello")])
