"""Who reads conversations reads them through the cache: the API's history and the admin's page."""

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
    """How often an action reads whole items from the memory's database."""
    with CaptureQueriesContext(connections["memory"]) as caught:
        action()
    return sum("text_content" in query["sql"] for query in caught.captured_queries)


def test_the_apis_history_is_read_from_the_cache(
    cache: ConversationCache, make_item: Callable[..., MemoryItem], make_user: Callable[..., Any]
) -> None:
    """The first page costs the database no item once it was read; the next page comes from the database."""
    for number in range(5):
        make_item(session_id="s", text_content=f"turn {number}")
    client = APIClient()
    client.force_authenticate(make_user("ada"))
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
    """The page of the newest items costs the database no item once it was read."""
    for number in range(3):
        make_item(session_id="s", text_content=f"turn {number}")
    url = reverse("admin:memory_usersession_conversation", args=[UserSession.make_id("ada", "s").replace(":", "_3A")])
    assert "turn 2" in admin_client.get(url).content.decode()
    assert reads_of_items(lambda: admin_client.get(url)) == 0
