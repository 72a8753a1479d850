"""The app's repeated reads are compiled and planned once on Firestore."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from memory import history
from memory.backends.firestore.query import analysis
from memory.models import MemoryItem

pytestmark = [
    pytest.mark.django_db(databases=["default", "memory"], transaction=True),
    pytest.mark.skipif("connections['memory'].vendor != 'firestore'", reason="SQL databases plan by themselves"),
]


def analyzed(action: Callable[[], Any]) -> list[str]:
    """The tables of the queries that an action compiled for Firestore."""
    found: list[str] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is analysis.analyze.__code__:
            found.append(str(frame.f_locals["inner"].query))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return found


@pytest.mark.parametrize(
    "read",
    [
        lambda item, client: history.recent("ada", "s", 20),
        lambda item, client: history.recent("ada", None, 20),
        lambda item, client: history.session("ada", "s"),
        lambda item, client: list(MemoryItem.objects.for_user("ada").recent(5)),
        lambda item, client: client.get("/api/memory-items/"),
        lambda item, client: client.get("/api/memory-items/", {"session_id": "s", "item_type": "message"}),
        lambda item, client: client.get(f"/api/memory-items/{item.pk}/"),
        lambda item, client: client.get("/api/sessions/ada:s/history/"),
        lambda item, client: client.get("/api/memory-items/search/", {"q": "station", "user_id": "ada"}),
    ],
    ids=[
        "history", "history of a user", "session", "recent", "list", "filtered list", "retrieve",
        "history over the API", "search",
    ],
)  # fmt: skip
def test_the_second_time_nothing_is_compiled(
    make_item: Callable[..., MemoryItem],
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
    settings: Any,
    read: Callable[[MemoryItem, APIClient], Any],
) -> None:
    """Without the conversation cache."""
    settings.MEMORY = {**settings.MEMORY, "CACHE": None}
    item, client = make_item(session_id="s", text_content="We met at the station."), client_for(make_user("ada"))
    connections["memory"].cache.queries.clear()
    read(item, client)
    assert analyzed(lambda: read(item, client)) == []
