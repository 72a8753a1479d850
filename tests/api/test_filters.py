"""The filters of lists, and their exact results."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"


def found(client: APIClient, path: str = ITEMS, **parameters: str) -> set[str]:
    response = client.get(path, parameters)
    assert response.status_code == 200, response.json()
    return {row["id"] for row in response.json()["results"]}


def test_items_by_fields(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Session, type and persona match exactly, alone and combined."""
    make_item(id="a", session_id="s", item_type="fact", persona_active="guide")
    make_item(id="b", session_id="s", item_type="message")
    make_item(id="c", session_id="S", item_type="fact", persona_active="Guide")
    make_item(id="d", session_id=" s", item_type="message")
    assert found(ada, session_id="s") == {"a", "b"}
    assert found(ada, session_id=" s") == {"d"}
    assert found(ada, item_type="fact") == {"a", "c"}
    assert found(ada, persona_active="guide") == {"a"}
    assert found(ada, session_id="s", item_type="message") == {"b"}
    assert found(ada, user_id="ada") == {"a", "b", "c", "d"}
    assert found(ada, user_id="bob") == set()


def test_items_by_time(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """`since` is inclusive, `until` is exclusive; offsets are converted."""
    make_item(id="a", timestamp="2026-01-31T12:00:00Z")
    make_item(id="b", timestamp="2026-01-31T12:00:00.000001Z")
    make_item(id="c", timestamp="2026-01-31T13:00:00Z")
    assert found(ada, since="2026-01-31T12:00:00.000001Z") == {"b", "c"}
    assert found(ada, until="2026-01-31T13:00:00Z") == {"a", "b"}
    assert found(ada, since="2026-01-31T14:00:00+01:00") == {"c"}
    assert found(ada, since="2026-01-31T12:00:00Z", until="2026-01-31T12:00:00.000001Z") == {"a"}


VALUES: dict[str, Any] = {
    "text": "travel",
    "number": 5,
    "float": 5.5,
    "digits": "5",
    "true": True,
    "truth": "true",
    "false": False,
    "zero": 0,
    "one": 1,
    "null": None,
    "nothing": "null",
    "quotes": 'say "hi"\\',
    "umlaut": "grün 😀",
    "map as text": '{"a": 1}',
    "map": {"a": 1},
    "list": [5],
}


@pytest.mark.parametrize("name", [name for name, value in VALUES.items() if not isinstance(value, list | dict)])
def test_metadata_by_value_and_type(ada: APIClient, make_item: Callable[..., MemoryItem], name: str) -> None:
    """Strings differ from numbers and booleans, null from a missing key."""
    make_item(id="without")
    for other, value in VALUES.items():
        make_item(id=other, metadata={"key": value})
    assert found(ada, metadata_key="key", metadata_value=json.dumps(VALUES[name])) == {name}


def test_value_that_is_not_json_is_a_string(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Simple strings need no quotes."""
    make_item(id="a", metadata={"topic": "travel"})
    make_item(id="b", metadata={"topic": "food"})
    assert found(ada, metadata_key="topic", metadata_value="travel") == {"a"}
    assert found(ada, metadata_key="topic", metadata_value=" travel") == set()


KEYS = ["a", "a.b", 'a"b', "a'b", "a b", "2024", "-1", "$", "[0]", "ä😀", "a__b", "contains", "%s", "\\", "a\nb", "#"]


@pytest.mark.parametrize("key", KEYS)
def test_metadata_by_any_key(ada: APIClient, make_item: Callable[..., MemoryItem], key: str) -> None:
    """No character of a key has a special meaning."""
    for number, other in enumerate(KEYS):
        make_item(id=f"{number}", metadata={other: "x"})
    make_item(id="inside", metadata={"outer": {key: "x"}, "list": [key, "x"]})
    own = str(KEYS.index(key))
    assert found(ada, metadata_key=key) == {own}
    assert found(ada, metadata_key=key, metadata_value="x") == {own}
    assert found(ada, metadata_key=key, metadata_value="y") == set()


def test_key_is_found_with_any_value(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Null and empty values included."""
    make_item(id="null", metadata={"key": None})
    make_item(id="map", metadata={"key": {}})
    make_item(id="none", metadata={})
    assert found(ada, metadata_key="key") == {"null", "map"}


def test_agent_data(ada: APIClient, make_agent_data: Callable[..., AgentData]) -> None:
    """Agent data is filtered by agent, type, time and metadata."""
    make_agent_data(id="a", agent_id="ada", data_type="plan", metadata={"n": 1}, timestamp="2026-01-31T12:00:00Z")
    make_agent_data(id="b", agent_id="ada", data_type="log", timestamp="2026-02-01T12:00:00Z")
    path = "/api/agent-data/"
    assert found(ada, path, data_type="plan") == {"a"}
    assert found(ada, path, agent_id="ada", since="2026-02-01T00:00:00Z") == {"b"}
    assert found(ada, path, metadata_key="n", metadata_value="1") == {"a"}


def test_sessions(ada: APIClient) -> None:
    """Sessions are filtered by session id, last activity and metadata."""
    UserSession.objects.create(user_id="ada", session_id="a", last_activity="2026-01-31T12:00:00Z")
    UserSession.objects.create(user_id="ada", session_id="b", metadata={"title": "x"})
    path = "/api/sessions/"
    assert found(ada, path, session_id="a") == {"ada:a"}
    assert found(ada, path, until="2026-02-01T00:00:00Z") == {"ada:a"}
    assert found(ada, path, metadata_key="title") == {"ada:b"}
