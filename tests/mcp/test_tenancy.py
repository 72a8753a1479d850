"""Two principals: whatever one asks, no byte of the other's memory is in an answer, and nothing of it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from memory.mcp.server import METHODS
from memory.mcp.tools import TOOLS
from memory.models import MemoryItem, UserSession

from .conftest import MODERN, Mcp, request

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SECRET = "xylophone"
MARKS = (SECRET, "eves-item", "eves-session", "eve")
LIKELY: dict[str, list[Any]] = {
    "id": ["eves-item", "eve:eves-session"],
    "ids": [["eves-item", "one"]],
    "session_id": ["eves-session", "shared", "eve:shared"],
    "question": [SECRET, "Where is the xylophone?"],
    "text": ["x"],
    "type": ["message", "fact"],
    "role": ["user"],
    "asker": ["Eve"],
    "supersedes": [["eves-item"], []],
    "importance": [0.5],
    "source": ["a letter"],
    "valid_from": ["2000-01-01T00:00:00Z"],
    "valid_to": ["2100-01-01T00:00:00Z"],
    "speaker": ["Ada"],
    "cursor": [json.dumps(["2030-01-01T00:00:00Z", "eves-session"])],
    "limit": [100],
    "tokens": [5_000],
    "turns": [200],
    "min_score": [0],
    "metadata": [{"a": 1}],
    "time": ["2026-01-01T00:00:00Z"],
    "since": ["2000-01-01T00:00:00Z"],
    "until": ["2100-01-01T00:00:00Z"],
    "before": ["2100-01-01T00:00:00Z"],
    "expires": ["2100-01-01T00:00:00Z"],
}


@pytest.fixture
def eves() -> list[dict[str, Any]]:
    """Eve's memory, in a session of her own and in one whose name Ada uses, too."""
    for pk, session in (("eves-item", "eves-session"), ("eves-other", "shared")):
        MemoryItem.objects.create(
            id=pk,
            user_id="eve",
            session_id=session,
            item_type="message",
            text_content=f"The {SECRET} is in the attic.",
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            metadata={"role": "user", "name": "Eve", "at": SECRET},
        )
    MemoryItem.objects.create(id="one", user_id="ada", session_id="shared", item_type="message", text_content="mine")
    return stored()


def stored() -> list[dict[str, Any]]:
    """All rows of Eve."""
    items = MemoryItem.all_objects.filter(user_id="eve").order_by("pk").values()
    sessions = UserSession.objects.filter(user_id="eve").order_by("pk").values()
    return [*items, *sessions]


def calls() -> list[tuple[str, dict[str, Any]]]:
    """Every tool with each likely value of each argument, beside those that it requires; and with all of them."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, tool in TOOLS.items():
        properties = tool.arguments["properties"]
        required = {key: LIKELY[key][0] for key in tool.arguments.get("required", ())}
        found.append((name, required))
        found += [(name, {**required, key: value}) for key in properties for value in LIKELY[key]]
        found.append((name, {key: LIKELY[key][0] for key in properties}))
    return found


@pytest.mark.parametrize("version", [MODERN, "2025-11-25"])
def test_tools_show_and_change_nothing_of_others(
    mcp_for: Callable[..., Mcp], eves: list[dict[str, Any]], version: str
) -> None:
    """Each tool, with the ids and words of the other."""
    ada = mcp_for("ada")
    for name, arguments in calls():
        response = ada.send(request("tools/call", {"name": name, "arguments": arguments}, version), version)
        assert response.status_code == 200
        answer = response.content.decode()
        for value in json.dumps(arguments).split('"'):  # what Ada herself sent may come back
            answer = answer.replace(value, "") if value in (*MARKS, "eve:eves-session", "eve:shared") else answer
        told = [mark for mark in ("attic", SECRET, "Eve", "eves-other") if mark in answer]
        assert told == [], (name, arguments, answer)
    assert stored() == eves


@pytest.mark.parametrize("version", [MODERN, "2025-11-25"])
def test_resources_show_nothing_of_others(
    mcp_for: Callable[..., Mcp], eves: list[dict[str, Any]], version: str
) -> None:
    """Each method, with the addresses of the other; a session of the same name is one's own."""
    ada = mcp_for("ada")
    addresses = [f"memory://sessions/{name}" for name in ("eves-session", "eve:shared", "eve%3Ashared", "shared", "..")]
    for method in METHODS:
        for params in [{}, *({"uri": uri, "cursor": LIKELY["cursor"][0], "name": "recent"} for uri in addresses)]:
            answer = ada.send(request(method, params, version), version).content.decode()
            assert [mark for mark in ("attic", SECRET, "Eve", "eves-other") if mark in answer] == [], (method, params)
    [read] = ada.ask("resources/read", {"uri": "memory://sessions/shared"})["contents"]
    assert read["text"].endswith("mine")
    assert [one["name"] for one in ada.ask("resources/list")["resources"]] == ["shared"]
    assert stored() == eves
