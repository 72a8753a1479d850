"""What the tools do, over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.utils import timezone

from memory.mcp import calls
from memory.mcp.tools import TOOLS
from memory.models import MemoryItem, UserSession

from .conftest import Mcp

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def chat() -> list[MemoryItem]:
    """A conversation of Ada."""
    return MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"i{number}",
            user_id="ada",
            session_id="chat",
            item_type="message",
            text_content=text,
            timestamp=START + number * timedelta(minutes=1),
            metadata={"role": "user", "name": "Ada"},
        )
        for number, text in enumerate(["I keep bees on the roof.", "It rains.", "Good night."])
    )


def test_the_tools_are_listed_with_schemas_and_hints(ada: Mcp) -> None:
    """Valid schemas, which allow nothing else, and what a host asks the user about."""
    tools = {tool["name"]: tool for tool in ada.ask("tools/list")["tools"]}
    assert list(tools) == ["add", "search", "recent", "get", "update", "forget", "sessions", "context"]
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
        assert tool["inputSchema"]["additionalProperties"] is False
        assert tool["description"]
        assert tool["title"] == tool["annotations"]["title"]
    hints = {
        name: tuple(tool["annotations"][hint] for hint in ("readOnlyHint", "destructiveHint", "idempotentHint"))
        for name, tool in tools.items()
    }
    reading = dict.fromkeys(("search", "recent", "get", "sessions", "context"), (True, False, True))
    changing = {"add": (False, False, False), "update": (False, True, True), "forget": (False, True, True)}
    assert hints == {**reading, **changing}


def test_results_meet_their_schemas(ada: Mcp, chat: list[MemoryItem]) -> None:
    """Of every tool; the text is the same as JSON, that of a context is the context."""
    calls: dict[str, dict[str, Any]] = {
        "add": {"text": "x", "id": "new"},
        "search": {"question": "bees"},
        "recent": {},
        "get": {"ids": ["i0", "none"]},
        "update": {"id": "i0", "text": "y"},
        "sessions": {},
        "context": {"question": "bees", "session_id": "chat"},
        "forget": {"id": "i0"},
    }
    assert calls.keys() == TOOLS.keys()
    for name, arguments in calls.items():
        result = ada.ask("tools/call", {"name": name, "arguments": arguments})
        jsonschema.validate(result["structuredContent"], TOOLS[name].result)
        text = result["content"][0]["text"]
        if name == "context":
            assert text == result["structuredContent"]["text"]
        else:
            assert json.loads(text) == result["structuredContent"]


def test_add(ada: Mcp) -> None:
    """The item has what was said, by whom and when, in the caller's memory."""
    expires = timezone.now().replace(microsecond=0) + timedelta(days=1)
    made = ada.call(
        "add",
        text="I like tea.",
        session_id="chat",
        type="fact",
        role="user",
        speaker="Ada",
        time="2026-03-01T10:30:00+01:00",
        expires=expires.isoformat(),
        metadata={"mood": "calm"},
    )
    item = MemoryItem.objects.get(pk=made["id"])
    assert (item.user_id, item.session_id, item.item_type, item.text_content) == ("ada", "chat", "fact", "I like tea.")
    assert (item.timestamp, item.expiration) == (START, expires)
    assert item.metadata == {"mood": "calm", "role": "user", "name": "Ada"}
    assert made["time"] == "2026-03-01T09:30:00Z"
    assert UserSession.objects.get().session_id == "chat"
    assert "with this id already" in ada.failure("add", text="other", id=made["id"])
    assert MemoryItem.objects.get(pk=made["id"]).text_content == "I like tea."


def test_search(ada: Mcp, chat: list[MemoryItem]) -> None:
    """Best first, with scores; the filters apply."""
    found = ada.call("search", question="Where are the bees?")["items"]
    assert (found[0]["id"], found[0]["speaker"], found[0]["time"]) == ("i0", "Ada", "2026-03-01T09:30:00Z")
    assert 0 < found[0]["score"] <= 1
    for none in ({"session_id": "other"}, {"type": "fact"}, {"since": "2026-03-02T00:00:00Z"}, {"min_score": 1}):
        assert ada.call("search", question="Where are the bees?", **none)["items"] == []
    assert [one["id"] for one in ada.call("search", question="bees", until="2026-03-01T09:31:00Z")["items"]] == ["i0"]
    assert len(ada.call("search", question="bees", limit=1)["items"]) == 1
    assert ada.call("search", question="Where are my bees?", asker="Bo")["items"]


def test_recent(ada: Mcp, chat: list[MemoryItem]) -> None:
    """The newest items, oldest first."""
    assert [one["id"] for one in ada.call("recent", session_id="chat", limit=2)["items"]] == ["i1", "i2"]
    assert len(ada.call("recent")["items"]) == 3
    assert ada.call("recent", session_id="other")["items"] == []


def test_get(ada: Mcp, chat: list[MemoryItem]) -> None:
    """In the order of the ids; what is not there is named."""
    MemoryItem.objects.create(id="eves", user_id="eve", item_type="m", text_content="secret")
    found = ada.call("get", ids=["i2", "eves", "none", "i0", "i2"])
    assert [one["id"] for one in found["items"]] == ["i2", "i0"]
    assert (found["missing"], found["left_out"]) == (["eves", "none"], [])


def test_get_reads_no_more_than_a_page(ada: Mcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large items those that fit are read; the others are left out, whether they exist or not."""
    for number in range(30):
        MemoryItem.objects.create(id=f"large{number}", user_id="ada", item_type="m", text_content="x" * 10_000)
    read: list[str] = []
    whole = calls.live_records
    monkeypatch.setattr(calls, "live_records", lambda alias, ids: (read.extend(ids), whole(alias, ids))[1])
    for name in ("memory.api.pagination", "memory.mcp.calls"):
        monkeypatch.setattr(f"{name}.PAGE_BYTES", 70_000)
    asked = ["none", *(f"large{number}" for number in range(30))]
    found = ada.call("get", ids=asked)
    shown = [one["id"] for one in found["items"]]
    assert 1 < len(shown) < 9
    assert len(read) == 10
    assert [*found["missing"], *shown, *found["left_out"]] == asked


def test_update(ada: Mcp, chat: list[MemoryItem]) -> None:
    """Metadata is merged; only own items change."""
    MemoryItem.objects.create(id="eves", user_id="eve", item_type="m", text_content="secret")
    made = ada.call("update", id="i0", text="I keep wasps.", metadata={"name": None, "sure": True})["item"]
    assert (made["text"], made["metadata"]) == ("I keep wasps.", {"role": "user", "sure": True})
    assert MemoryItem.objects.get(pk="i0").text_content == "I keep wasps."
    assert ada.failure("update", id="eves", text="x") == ada.failure("update", id="none", text="x")
    assert MemoryItem.objects.get(pk="eves").text_content == "secret"
    assert "at least one of" in ada.failure("update", id="i0")


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ({"id": "i1"}, ["i0", "i2", "f"]),
        ({"session_id": "chat"}, ["f"]),
        ({"type": "fact"}, ["i0", "i1", "i2"]),
        ({"before": "2026-03-01T09:32:00Z", "session_id": "chat"}, ["i2", "f"]),
        ({"id": "eves"}, ["i0", "i1", "i2", "f"]),
    ],
)
def test_forget(ada: Mcp, chat: list[MemoryItem], arguments: dict[str, str], left: list[str]) -> None:
    """An item, a conversation, or the items of a type or time; of nobody else."""
    MemoryItem.objects.create(id="f", user_id="ada", item_type="fact", text_content="x")
    MemoryItem.objects.create(id="eves", user_id="eve", session_id="chat", item_type="fact", timestamp=START)
    before = MemoryItem.objects.filter(user_id="ada").count()
    assert ada.call("forget", **arguments)["forgotten"] == before - len(left)
    assert set(MemoryItem.objects.filter(user_id="ada").values_list("pk", flat=True)) == set(left)
    assert MemoryItem.objects.filter(pk="eves").exists()


@pytest.mark.parametrize("arguments", [{}, {"id": "i0", "session_id": "chat"}])
def test_nothing_is_forgotten_without_saying_what(ada: Mcp, chat: list[MemoryItem], arguments: dict[str, str]) -> None:
    """Nor by two different things."""
    assert "Pass an id" in ada.failure("forget", **arguments)
    assert MemoryItem.objects.count() == 3


def test_sessions(ada: Mcp) -> None:
    """By activity, page after page."""
    for number in range(5):
        MemoryItem.objects.create(
            user_id="ada", session_id=f"s{number}", item_type="m", timestamp=START + number * timedelta(hours=1)
        )
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = ada.call("sessions", limit=2, **cursor)
        found += [one["session_id"] for one in page["sessions"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == ["s4", "s3", "s2", "s1", "s0"]
    for wrong in ("x", "[]", '["2026-01-01T00:00:00Z"]', '["x", "y"]', '["2026-01-01T00:00:00Z", 5]', "null", "5"):
        assert ada.failure("sessions", cursor=wrong) == "The cursor is invalid."


def test_context(ada: Mcp, chat: list[MemoryItem]) -> None:
    """The text, within the budget."""
    made = ada.call("context", question="Where are the bees?", session_id="chat", tokens=200)
    assert made["text"].startswith("Recent turns:\n[2026-03-01 09:30] Ada: I keep bees on the roof.")
    assert made["recent"] == ["i0", "i1", "i2"]
    assert made["tokens"] <= 200
    assert ada.call("context", question="x", session_id="chat", tokens=12)["cut"] > 0


def test_resources_are_conversations(ada: Mcp, chat: list[MemoryItem]) -> None:
    """Listed by activity, and read as text."""
    MemoryItem.objects.create(user_id="ada", session_id="a/b %", item_type="m", text_content="later")
    listed = ada.ask("resources/list")["resources"]
    assert [(one["uri"], one["name"]) for one in listed] == [
        ("memory://sessions/a%2Fb%20%25", "a/b %"),
        ("memory://sessions/chat", "chat"),
    ]
    [read] = ada.ask("resources/read", {"uri": "memory://sessions/chat"})["contents"]
    assert read["text"].splitlines() == [
        "[2026-03-01 09:30] Ada: I keep bees on the roof.",
        "[2026-03-01 09:31] Ada: It rains.",
        "[2026-03-01 09:32] Ada: Good night.",
    ]
    [odd] = ada.ask("resources/read", {"uri": listed[0]["uri"]})["contents"]
    assert odd["text"].endswith("later")
    [template] = ada.ask("resources/templates/list")["resourceTemplates"]
    assert template["uriTemplate"] == "memory://sessions/{session_id}"


def test_resources_are_paged(ada: Mcp) -> None:
    """By a cursor."""
    MemoryItem.objects.bulk_create(MemoryItem(user_id="ada", session_id=f"s{n}", item_type="m") for n in range(60))
    first = ada.ask("resources/list")
    second = ada.ask("resources/list", {"cursor": first["nextCursor"]})
    assert (len(first["resources"]), len(second["resources"]), "nextCursor" in second) == (50, 10, False)


@pytest.mark.parametrize(
    ("name", "arguments", "argument"),
    [
        ("add", {}, "text"),
        ("add", {"text": ""}, "text"),
        ("add", {"text": 5}, "text"),
        ("add", {"text": "x", "user_id": "eve"}, "user_id"),
        ("add", {"text": "x", "metadata": []}, "metadata"),
        ("add", {"text": "x", "time": "yesterday"}, "time"),
        ("add", {"text": "x", "time": "2026-01-01T00:00:00"}, "time"),
        ("add", {"text": "x", "session_id": "s" * 256}, "session_id"),
        ("add", {"text": "x", "id": "a/b"}, "id"),
        ("add", {"text": "x", "time": "0001-01-01T00:00:00+14:00"}, "time"),
        ("add", {"text": "x", "expires": "9999-12-31T23:59:59-14:00"}, "expires"),
        ("add", {"text": "x", "valid_from": "0001-01-01T00:00:00+00:01"}, "valid_from"),
        ("search", {"question": "x", "since": "0001-01-01T00:00:00+14:00"}, "since"),
        ("update", {"id": "x", "expires": "9999-12-31T23:59:59-14:00"}, "expires"),
        ("forget", {"before": "9999-12-31T23:59:59-14:00"}, "before"),
        ("add", {"text": "\ud800"}, "text"),
        ("add", {"text": "x", "id": "\ud800"}, "id"),
        ("recent", {"session_id": "\ud800"}, "session_id"),
        ("get", {"ids": ["\ud800"]}, "ids"),
        ("search", {"question": "x", "limit": 0}, "limit"),
        ("search", {"question": "x", "limit": True}, "limit"),
        ("search", {"question": "x", "limit": 1.5}, "limit"),
        ("search", {"question": "x", "min_score": 2}, "min_score"),
        ("search", {"question": "x", "asker": ""}, "asker"),
        ("search", {"question": "x" * 10_001}, "question"),
        ("get", {"ids": []}, "ids"),
        ("get", {"ids": ["x"] * 101}, "ids"),
        ("get", {"ids": [5]}, "ids"),
        ("get", {"ids": "x"}, "ids"),
        ("update", {"text": "x"}, "id"),
        ("forget", {"everything": True}, "everything"),
        ("context", {"question": "x", "tokens": 0}, "tokens"),
        ("recent", {"limit": 201}, "limit"),
    ],
)
def test_wrong_arguments_are_errors_of_the_tool(ada: Mcp, name: str, arguments: dict[str, Any], argument: str) -> None:
    """The model reads which argument is wrong, and nothing happens."""
    assert ada.failure(name, **arguments).startswith(f"{argument}: ")
    assert not MemoryItem.objects.exists()


def test_arguments_that_are_no_object_are_an_error_of_the_tool(ada: Mcp) -> None:
    """As wrong arguments."""
    for wrong in ([], "x", None, 5):
        result = ada.ask("tools/call", {"name": "recent", "arguments": wrong})
        assert result["isError"] is True


def test_what_is_known_of_an_item(ada: Mcp) -> None:
    """It is stored with an item and changed; what an item corrects is not shown among recent ones any more."""
    MemoryItem.objects.create(id="eves", user_id="eve", item_type="m", text_content="secret")
    ada.call("add", id="old", text="I live in Ghent.", importance=0.2, source="a letter", time="2026-01-01T00:00:00Z")
    ada.call("add", id="new", text="I live in Lyon.", supersedes=["old"], valid_from="2026-02-01T00:00:00Z")
    assert [one["id"] for one in ada.call("recent")["items"]] == ["new"]
    [old] = ada.call("get", ids=["old"])["items"]
    assert (old["importance"], old["source"], old["superseded_by"]) == (0.2, "a letter", "new")
    assert old["valid_to"] == "2026-02-01T00:00:00Z"
    assert [one["valid"] for one in ada.call("search", question="Where do I live?")["items"]] == [True, False]
    made = ada.call("update", id="new", supersedes=[], importance=1, valid_to="2026-03-01T00:00:00Z")["item"]
    assert (made["importance"], made["valid_to"]) == (1, "2026-03-01T00:00:00Z")
    assert [one["id"] for one in ada.call("recent")["items"]] == ["old"]
    assert ada.failure("update", id="new", supersedes=["eves"]).replace("eves", "none") == ada.failure(
        "update", id="new", supersedes=["none"]
    )
