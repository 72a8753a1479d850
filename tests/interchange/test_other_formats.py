"""Conversion of the values of other products' formats."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given

from memory.interchange.entries import Empty, Entry, Reject, Removal
from memory.interchange.formats.gemini import plain_text
from memory.models import MemoryItem

from .test_formats import FILE_TIME, items, outcomes
from .test_frames import JSON

CALL = {"id": "c1", "type": "function", "function": {"name": "tides", "arguments": '{"at": "Brest"}'}}
ITEM_CALL = {"type": "function_call", "name": "tides", "arguments": "{}", "call_id": "c1"}
CLAUDE = {
    "uuid": "k1",
    "name": "Trip",
    "summary": "",
    "created_at": "2026-01-02T10:00:00Z",
    "account": {"uuid": "q"},
    "chat_messages": [
        {
            "uuid": "m1",
            "text": "Where to?",
            "content": [{"type": "text", "text": "Where to?", "citations": []}],
            "sender": "human",
            "created_at": "2026-01-02T10:00:05Z",
            "attachments": [{"file_name": "map.txt", "extracted_content": "north"}],
            "files": [],
        },
        {
            "uuid": "m2",
            "text": "",
            "content": [{"type": "thinking", "thinking": "The sea?"}, {"type": "text", "text": "Brest."}],
            "sender": "assistant",
            "created_at": "2026-01-02T10:00:04Z",
        },
    ],
}
OPENAI = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "When?"}, {"type": "image_url", "image_url": {"url": "u"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "6"},
    ]
}
RESPONSES = [
    {"type": "message", "id": "m1", "role": "user", "content": [{"type": "input_text", "text": "When?"}]},
    {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "Tides."}]},
    ITEM_CALL,
    {"type": "function_call_output", "call_id": "c1", "output": "6"},
]
ANTHROPIC = {
    "model": "claude-x",
    "system": "Be kind.",
    "messages": [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "tides", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "6"}]},
    ],
}
SHAREGPT = {"id": "s1", "conversations": [{"from": "human", "value": "When?"}, {"from": "gpt", "value": "At 6."}]}
ADK = {
    "id": "s1",
    "appName": "tides",
    "userId": "zoë",
    "state": {"place": "Brest"},
    "events": [
        {"id": "e1", "author": "user", "timestamp": 1767323045.5, "content": {"parts": [{"text": "When?"}]}},
        {
            "id": "e2",
            "author": "pilot",
            "timestamp": 1767323046,
            "invocationId": "i",
            "content": {
                "role": "model",
                "parts": [{"text": "Hm", "thought": True}, {"functionCall": {"name": "tides"}}, {"text": "At 6."}],
            },
        },
    ],
}
LETTA = {
    "agents": [
        {
            "id": "agent-1",
            "name": "pilot",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "When?"}],
                    "created_at": "2026-01-02T03:04:05Z",
                }
            ],
        }
    ],
    "blocks": [{"label": "human", "value": "A sailor.", "limit": 5000}],
}
MEM0 = {
    "results": [
        {
            "id": "m",
            "memory": "Likes tea.",
            "user_id": "zoë",
            "created_at": "2026-01-01T19:04:05-08:00",
            "metadata": {"kind": "taste"},
            "hash": "h",
        }
    ]
}
AISTUDIO = {
    "runSettings": {"model": "models/m"},
    "systemInstruction": {"parts": [{"text": "Be kind."}]},
    "chunkedPrompt": {
        "chunks": [
            {"text": "When?", "role": "user", "driveImage": {"id": "i1"}},
            {"text": "Tides.", "role": "model", "isThought": True},
            {"text": "At 6.", "role": "model", "finishReason": "STOP", "parts": [{"text": "At "}, {"text": "6."}]},
        ],
        "pendingInputs": [{"text": "And low?", "role": "user"}],
    },
}
GEMINI = {
    "header": "Gemini Apps",
    "title": "Prompted When?",
    "time": "2026-01-02T03:04:05.123Z",
    "products": ["Gemini Apps"],
    "safeHtmlItem": [{"html": "<p>At <b>6</b> &amp; 18.</p><ul><li>Brest</li></ul>"}],
}


def lines(content: Any) -> list[tuple[Any, ...]]:
    return [(item["session_id"], item["metadata"]["role"], item["text_content"]) for item in items(content)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CLAUDE, [("k1", "user", "Where to?"), ("k1", "assistant", "Brest.")]),
        (
            OPENAI,
            [
                ("notes", "system", "Be kind."),
                ("notes", "user", "When?"),
                ("notes", "assistant", None),
                ("notes", "tool", "6"),
            ],
        ),
        (
            RESPONSES,
            [
                ("notes", "user", "When?"),
                ("notes", "assistant", None),
                ("notes", "assistant", None),
                ("notes", "tool", "6"),
            ],
        ),
        (
            ANTHROPIC,
            [
                ("notes", "system", "Be kind."),
                ("notes", "user", "When?"),
                ("notes", "assistant", None),
                ("notes", "user", None),
            ],
        ),
        (SHAREGPT, [("s1", "user", "When?"), ("s1", "assistant", "At 6.")]),
        (ADK, [("s1", "user", "When?"), ("s1", "assistant", "At 6.")]),
        (GEMINI, [("notes", "user", "When?"), ("notes", "assistant", "At 6 & 18.\nBrest")]),
    ],
)
def test_conversations(content: Any, expected: list[tuple[Any, ...]]) -> None:
    """Sessions, roles and texts, in the order of the file."""
    assert lines(content) == expected
    times = [item["timestamp"] for item in items(content)]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("content", "position", "metadata"),
    [
        (CLAUDE, 0, {"attachments": [{"file_name": "map.txt", "extracted_content": "north"}], "message_id": "m1"}),
        (CLAUDE, 1, {"parts": [{"type": "thinking", "thinking": "The sea?"}], "original_time": "2026-01-02T10:00:04Z"}),
        (OPENAI, 1, {"parts": [{"type": "image_url", "image_url": {"url": "u"}}]}),
        (OPENAI, 2, {"tool_calls": [CALL]}),
        (OPENAI, 3, {"tool_call_id": "c1"}),
        (RESPONSES, 1, {"reasoning": "Tides."}),
        (RESPONSES, 2, ITEM_CALL),
        (ANTHROPIC, 2, {"parts": ANTHROPIC["messages"][1]["content"]}),  # type: ignore[index]
        (ADK, 1, {"thinking": "Hm", "parts": [{"functionCall": {"name": "tides"}}], "name": "pilot"}),
        (GEMINI, 0, {"header": "Gemini Apps", "products": ["Gemini Apps"]}),
        (MEM0, 0, {"kind": "taste", "hash": "h", "memory_id": "m"}),
        (LETTA, 0, {"label": "human", "limit": 5000}),
    ],
)
def test_metadata(content: Any, position: int, metadata: dict[str, Any]) -> None:
    """Tool calls, thoughts, attachments and other fields are kept."""
    found = items(content)[position]["metadata"]
    assert {name: found.get(name) for name in metadata} == metadata


def test_sessions() -> None:
    """Titles, and other fields of the conversation."""
    sessions = [
        dict(found.values["metadata"])
        for content in (CLAUDE, ADK, LETTA)
        for found in outcomes(content)
        if isinstance(found, Entry) and found.model == "UserSession"
    ]
    assert sessions == [
        {"source": "claude", "title": "Trip", "account": {"uuid": "q"}},
        {"source": "adk", "appName": "tides", "state": {"place": "Brest"}},
        {"source": "letta", "title": "pilot"},
    ]


def test_owners_and_times_of_memories() -> None:
    """The file's user precedes the command's; blocks and memories are of type `memory`."""
    (memory,) = items(MEM0)
    assert (memory["user_id"], memory["item_type"], memory["text_content"]) == ("zoë", "memory", "Likes tea.")
    assert memory["timestamp"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    block, said = items(LETTA)
    assert (block["user_id"], block["item_type"], block["text_content"]) == ("ada", "memory", "A sailor.")
    assert (said["session_id"], said["timestamp"]) == ("agent-1", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert {item["user_id"] for item in items(ADK)} == {"zoë"}


def test_branches_of_claude() -> None:
    """Parents precede their children, whatever the list's order and times."""
    first, second = CLAUDE["chat_messages"]  # type: ignore[misc]
    tree = [{**second, "parent_message_uuid": "m1"}, {**first, "parent_message_uuid": "00000000"}]  # type: ignore[dict-item]
    answer, question = items({**CLAUDE, "chat_messages": tree})
    assert answer["timestamp"] - question["timestamp"] == timedelta(microseconds=1)


def test_objects_on_lines_are_conversations() -> None:
    """Equal examples of fine-tuning data are separate conversations."""
    assert [items(OPENAI, ordinal=ordinal)[0]["session_id"] for ordinal in range(3)] == ["notes", "notes-2", "notes-3"]
    assert items(OPENAI, ordinal=1)[0]["id"] != items(OPENAI, ordinal=2)[0]["id"]
    first, second = items(OPENAI["messages"][0], index=0), items(OPENAI["messages"][1], index=1)
    assert [item["session_id"] for item in first + second] == ["notes", "notes"]
    assert [item["timestamp"] for item in first + second] == [FILE_TIME, FILE_TIME + timedelta(milliseconds=1)]


def test_prompts_of_ai_studio() -> None:
    """Thoughts are metadata, settings are the session's, and pieces of a text are not repeated."""
    found = outcomes(AISTUDIO)
    session = next(each for each in found if isinstance(each, Entry) and each.model == "UserSession")
    assert dict(session.values["metadata"]) == {
        "source": "aistudio",
        "runSettings": {"model": "models/m"},
        "chunkedPrompt": {"pendingInputs": [{"text": "And low?", "role": "user"}]},
    }
    system, asked, thought, told = items(AISTUDIO)
    assert [each["text_content"] for each in (system, asked, thought, told)] == ["Be kind.", "When?", None, "At 6."]
    assert asked["metadata"] == {"role": "user", "source": "aistudio", "driveImage": {"id": "i1"}}
    assert thought["metadata"]["thinking"] == "Tides."
    assert told["metadata"] == {
        "role": "assistant",
        "stated_role": "model",
        "source": "aistudio",
        "finishReason": "STOP",
    }


def test_a_removal_of_all_messages() -> None:
    """It applies in an object with `messages`; alone, it is rejected with advice."""
    said = [{"type": "human", "data": {"content": name, "id": name}} for name in "abc"]
    clear = {"type": "remove", "data": {"content": "", "id": "__remove_all__"}}
    a, b, c = (item["id"] for item in items({"messages": said}))
    found = outcomes({"messages": [said[0], clear, said[1], clear, said[2], said[1]]})
    removed = [each.id for each in found if isinstance(each, Removal)]
    assert removed == [a]
    assert [each.values["id"] for each in found if isinstance(each, Entry)] == [c, b]
    (reject,) = outcomes(clear)
    assert isinstance(reject, Reject)
    assert "delete it and the messages before it" in reject.reason


def test_variants() -> None:
    """ShareGPT's list by another name, and relations of a search in mem0."""
    spoken = {"id": "s1", "items": [{"from": "bing", "value": "At 6."}]}
    assert [(item["text_content"], item["metadata"]["role"]) for item in items(spoken)] == [("At 6.", "bing")]
    relation = {"source": "ada", "relationship": "lives_in", "destination": "brest"}
    assert items({**MEM0, "relations": [relation]})[-1]["text_content"] == "ada lives in brest"


def test_a_batch_of_anthropic() -> None:
    """A request and its answer have one session, named by the request."""
    request = {"custom_id": "r1", "params": {"model": "m", "messages": [{"role": "user", "content": "When?"}]}}
    answer = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "text", "text": "At 6."}]}
    result = {"custom_id": "r1", "result": {"type": "succeeded", "message": {**answer, "stop_reason": "end_turn"}}}
    assert [item["session_id"] for item in items(request) + items(result)] == ["notes-r1", "notes-r1"]


@pytest.mark.parametrize(
    "content",
    [
        {"type": "reasoning", "id": "r", "summary": []},
        {"role": "assistant", "content": ""},
        {"conversations": [{"from": "gpt", "value": ""}]},
        {"chunkedPrompt": {"chunks": [{"text": "", "role": "model", "finishReason": "STOP"}]}},
        {**CLAUDE, "chat_messages": [{"uuid": "m", "text": "", "content": [], "sender": "human"}]},
    ],
)
def test_messages_that_say_nothing(content: Any) -> None:
    """They are counted, not stored."""
    (found,) = outcomes(content)
    assert isinstance(found, Empty)


@pytest.mark.parametrize(
    "content",
    [
        {"messages": [{"role": "user", "content": "x"}, 5]},
        {"system": "x", "messages": [{"role": "user", "content": "x"}, {"content": "y"}]},
        {"conversations": [{"from": "gpt", "value": "x"}, 5]},
        {**CLAUDE, "chat_messages": [5]},
        {**ADK, "events": [5]},
        {"agents": [{"messages": [5]}]},
        {"results": [{"id": "m", "memory": "x"}, 5]},
        {**GEMINI, "time": "soon"},
        {"chunkedPrompt": {"chunks": [{"text": "x", "role": "user"}, 5]}},
    ],
)
def test_what_is_no_message(content: Any) -> None:
    """Only this value is rejected, by its position."""
    (reject,) = (found for found in outcomes(content) if isinstance(found, Reject))
    assert reject.place.line == 3


def test_html() -> None:
    """Text with its lines, and without tags."""
    assert plain_text("<h1>A</h1>b<br>c <i>d</i>") == "A\nb\nc d"


@given(JSON, JSON, JSON)
def test_anything_can_stand_anywhere(content: Any, kind: Any, key: Any) -> None:
    """No content ends the import: whatever it is, it has an outcome of a known kind."""
    more = {"id": key, "uuid": key, "text": content, "created_at": kind, "timestamp": kind, "metadata": key}
    part = {"type": kind, "text": content}
    for body in (content, [content, part], [part]):
        message = {"role": "user", "content": body, "value": body, "from": "human", "sender": kind, **more}
        for value in (
            message,
            {**message, "type": "message", "stop_reason": kind},
            {"messages": [message, content], "system": content},
            {"messages": [message, message], "other": content},
            {"conversations": [message, content], "id": key},
            {**CLAUDE, "chat_messages": [message, content], "name": kind},
            {**ADK, "events": [{**message, "author": kind, "content": {"parts": body}}, content], "id": key},
            {"agents": [{"messages": [message, content], "name": kind}, content], "blocks": body},
            {"results": [{**message, "id": "m", "memory": "x", "user_id": kind}, content]},
            {**GEMINI, "safeHtmlItem": body, "title": "x", "other": content},
            {"chunkedPrompt": {"chunks": [message, {"parts": body}, content]}, "systemInstruction": {"parts": body}},
        ):
            assert {type(outcome) for outcome in outcomes(value)} <= {Entry, Reject, Empty, Removal}


@pytest.mark.django_db(databases=["default", "memory"])
def test_files(tmp_path: Path) -> None:
    """All formats in one file: nothing is rejected, a second import adds nothing, and an export comes back equal."""
    contents = [CLAUDE, OPENAI, RESPONSES, ANTHROPIC, SHAREGPT, ADK, LETTA, MEM0, GEMINI, AISTUDIO]
    path, copy = tmp_path / "all.jsonl", tmp_path / "copy.jsonl"
    path.write_text("\n".join(map(json.dumps, contents)))
    first, second = io.StringIO(), io.StringIO()
    call_command("memory_import", "--user-id", "ada", str(path), stdout=first)
    call_command("memory_import", "--user-id", "ada", str(path), stdout=second)
    assert "added" in first.getvalue()
    assert "added" not in second.getvalue()
    assert "updated" not in second.getvalue()
    call_command("memory_export", output=str(copy), verbosity=0)
    before = copy.read_text()
    MemoryItem.all_objects.all().delete()
    call_command("memory_import", str(copy), stdout=io.StringIO())
    call_command("memory_export", output=str(copy), verbosity=0)
    assert copy.read_text() == before
