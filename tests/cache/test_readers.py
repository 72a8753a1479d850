"""Readers of conversations use the cache: the API's history and the admin's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from memory.cache import ConversationCache
from memory.models import MemoryItem, UserSession

pytestmark = [pytest.mark.redis, pytest.mark.django_db(databases=["default", "memory"], transaction=True)]


def reads_of_items(action: Callable[[], Any]) -> int:
    """How often an action reads whole items from the app's database."""
    return sum("text_content" in query for query in queries_of(action))


def queries_of(action: Callable[[], Any]) -> list[str]:
    """The queries that an action sends to the app's database."""
    with CaptureQueriesContext(connections["memory"]) as caught:
        action()
    return [query["sql"] for query in caught.captured_queries]


@pytest.fixture
def ada(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """The owner of `ada:s`."""
    return client_for(make_user("ada"))


def test_the_apis_history_is_read_from_the_cache(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], ada: APIClient
) -> None:
    """After the first read, the first page reads no item from the database; the next page does."""
    for number in range(5):
        make_item(session_id="s", text_content=f"turn {number}")
    client = ada
    first = client.get("/api/sessions/ada:s/history/?limit=3").json()
    assert [item["text_content"] for item in first["results"]] == ["turn 4", "turn 3", "turn 2"]
    assert first["has_more"]
    assert reads_of_items(lambda: client.get("/api/sessions/ada:s/history/?limit=3")) == 0
    make_item(session_id="s", text_content="turn 5")
    assert client.get("/api/sessions/ada:s/history/?limit=1").json()["results"][0]["text_content"] == "turn 5"
    older = client.get(first["next"]).json()
    assert [item["text_content"] for item in older["results"]] == ["turn 1", "turn 0"]


def test_the_admins_conversation_is_read_from_the_cache(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], admin_client: Client
) -> None:
    """After the first read, the page of the newest items reads no item from the database."""
    for number in range(3):
        make_item(session_id="s", text_content=f"turn {number}")
    url = reverse("admin:memory_usersession_conversation", args=[UserSession.make_id("ada", "s").replace(":", "_3A")])
    assert "turn 2" in admin_client.get(url).content.decode()
    assert reads_of_items(lambda: admin_client.get(url)) == 0
    assert not [query for query in queries_of(lambda: admin_client.get(url)) if 'FROM "user_sessions"' in query]


def test_a_sessions_data_are_read_from_the_cache(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], ada: APIClient
) -> None:
    """After the first read, neither the session's record nor its history queries the database."""
    make_item(session_id="s")
    paths = ("/api/sessions/ada:s/", "/api/sessions/ada:s/history/")
    first = [ada.get(path).json() for path in paths]
    assert queries_of(lambda: [ada.get(path) for path in paths]) == []
    assert [ada.get(path).json() for path in paths] == first


@pytest.mark.parametrize("path", ["/api/sessions/ada:s/", "/api/sessions/ada:s/history/"])
def test_another_users_session_is_not_there_for_others(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], make_user: Any, client_for: Any, path: str
) -> None:
    """Cached or not: users who may act for any user can read it; a missing session is not found."""
    make_item(session_id="s")
    stranger, agent = client_for(make_user("eve")), client_for(make_user("bot", ("act_for_any_user",)))
    assert stranger.get(path).status_code == 404
    assert agent.get(path).status_code == 200
    assert stranger.get(path).status_code == 404
    for missing in ("bot:none", "bot", "a:b:c", "a%3A:b", "bot:s%00"):
        assert agent.get(f"/api/sessions/{missing}/").status_code == 404


def test_a_change_of_a_session_is_visible_at_once(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], ada: APIClient
) -> None:
    """By the API, by its items, and when it is deleted."""
    path = "/api/sessions/ada:s/"
    make_item(session_id="s")
    ada.get(path)
    assert ada.patch(path, {"metadata": {"title": "tea"}}, format="json").status_code == 200
    assert ada.get(path).json()["metadata"] == {"title": "tea"}
    UserSession.objects.filter(user_id="ada").update(metadata={"title": "coffee"})
    assert ada.get(path).json()["metadata"] == {"title": "coffee"}
    assert ada.delete(path).status_code == 204
    assert ada.get(path).status_code == 404
    assert ada.get(f"{path}history/").status_code == 404
