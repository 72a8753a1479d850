"""POST /api/memory-items/context/."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

URL = "/api/memory-items/context/"
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def ada(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """The client of a user whose id is "ada"."""
    return client_for(make_user("ada"))


def store(user_id: str, texts: list[str], session_id: str = "chat", **values: Any) -> None:
    """Items, a minute apart."""
    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=user_id,
            session_id=session_id,
            item_type="message",
            text_content=text,
            timestamp=START + number * timedelta(minutes=1),
            metadata={"role": "user"},
            **values,
        )
        for number, text in enumerate(texts)
    )


def test_recent_turns_and_what_was_recalled(ada: APIClient) -> None:
    """Dated and attributed, recalled items of other sessions first, each item once."""
    store("ada", ["I keep bees on the roof.", "It rained."], session_id="old")
    store("ada", ["Hello.", "What do I keep on the roof?"])
    found = ada.post(URL, {"question": "What do I keep on the roof?", "session_id": "chat", "limit": 1}, format="json")
    assert found.status_code == 200
    body = found.json()
    assert body["text"] == (
        "From memory:\n[2026-03-01 09:30] user: I keep bees on the roof.\n\n"
        "Recent turns:\n[2026-03-01 09:30] user: Hello.\n[2026-03-01 09:31] user: What do I keep on the roof?"
    )
    assert [one["text_content"] for one in body["recalled"]] == ["I keep bees on the roof."]
    assert [one["text_content"] for one in body["recent"]] == ["Hello.", "What do I keep on the roof?"]
    assert (body["cut"], body["summary"], body["is_truncated"]) == (0, "", False)
    assert 0 < body["tokens"] <= 2000


def test_the_budget_holds(ada: APIClient) -> None:
    """The newest turns stay."""
    store("ada", [f"turn number {number} about ferries" for number in range(50)])
    body = ada.post(URL, {"question": "ferries", "session_id": "chat", "tokens": 100}, format="json").json()
    assert body["tokens"] <= 100
    assert body["recent"][-1]["text_content"] == "turn number 49 about ferries"
    assert body["cut"] > 0


def test_another_users_memory_is_not_used(ada: APIClient) -> None:
    """No byte of it, whatever is named."""
    store("eve", ["Eve hides the key under the mat."])
    for body in ({"session_id": "chat"}, {"session_id": None}, {"user_id": "eve", "session_id": "chat"}):
        found = ada.post(URL, {"question": "Where is the key?", **body}, format="json")
        assert found.status_code == 200
        assert (found.json()["text"], found.json()["cut"]) == ("", 0)
        assert "mat" not in found.content.decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "question"),
        ({"question": " "}, "question"),
        ({"question": "x" * 10_001}, "question"),
        ({"question": "x", "tokens": 0}, "tokens"),
        ({"question": "x", "tokens": 1_000_001}, "tokens"),
        ({"question": "x", "tokens": "5"}, "tokens"),
        ({"question": "x", "turns": 201}, "turns"),
        ({"question": "x", "limit": 101}, "limit"),
        ({"question": "x", "min_score": 2}, "min_score"),
        ({"question": "x", "session_id": ""}, "session_id"),
        ({"question": "x", "surprise": 1}, "surprise"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(ada: APIClient, body: dict[str, Any], field: str) -> None:
    """400, with the field."""
    found = ada.post(URL, body, format="json")
    assert found.status_code == 400
    assert field in found.json()["error"]["fields"]


def test_the_path_is_no_id(ada: APIClient) -> None:
    """Other methods are not allowed, and no item can have it."""
    assert ada.get(URL).status_code == 405
    made = ada.post("/api/memory-items/", {"id": "context", "item_type": "m"}, format="json")
    assert made.status_code == 400
