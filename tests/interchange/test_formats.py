"""Conversion of each format's values, without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.interchange.entries import Context, Empty, Entry, Outcome, Reject, UserIdMissingError, time_of
from memory.interchange.formats import parse
from memory.interchange.frames import Frame
from memory.interchange.order import Order

from .samples import START, conversation, langchain, message, node
from .test_frames import JSON

FILE_TIME = datetime(2026, 5, 1, tzinfo=UTC)
CONTEXT = Context("ada", "notes", FILE_TIME)
STARTED = time_of(START)


def outcomes(content: Any, index: int | None = None, ordinal: int = 0, context: Context = CONTEXT) -> list[Outcome]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    order = Order(context.time)
    return [*order.fit(parse(Frame(raw, 3, 0, ordinal, index), context)), *order.rest()]


def items(content: Any, **options: Any) -> list[dict[str, Any]]:
    """The values of the memory items; no record is rejected."""
    found = outcomes(content, **options)
    assert not [outcome for outcome in found if isinstance(outcome, Reject)]
    return [dict(entry.values) for entry in found if isinstance(entry, Entry) and entry.model == "MemoryItem"]


def reason(content: Any) -> str:
    """The reason of the reject, which is the only result."""
    (found,) = outcomes(content)
    assert isinstance(found, Reject)
    return found.reason


def chat(*contents: Any) -> dict[str, Any]:
    """A conversation whose messages have these contents."""
    said = [
        node(str(place), str(place - 1), message("user", "", content=content)) for place, content in enumerate(contents)
    ]
    return conversation(said)


class TestChatGPT:
    """A conversation's tree becomes one session's items."""

    def test_a_message(self) -> None:
        """Text, role, time, place in the tree, and the session's title."""
        said = message("assistant", "High at 6.", START + 1.5, metadata={"model_slug": "gpt-4o"})
        session, item = outcomes(conversation([node("root", None, None, "a"), node("a", "root", said)]))
        assert isinstance(session, Entry)
        assert session.values == {
            "user_id": "ada",
            "session_id": "c1",
            "started_at": STARTED,
            "last_activity": STARTED,
            "metadata": {"source": "chatgpt", "title": "Tides", "update_time": START + 60, "current_node": "a"},
        }
        assert isinstance(item, Entry)
        assert {name: value for name, value in item.values.items() if name != "id"} == {
            "user_id": "ada",
            "session_id": "c1",
            "item_type": "message",
            "timestamp": time_of(START + 1.5),
            "text_content": "High at 6.",
            "metadata": {
                "source": "chatgpt",
                "role": "assistant",
                "node": "a",
                "parent": "root",
                "message_id": "m",
                "model": "gpt-4o",
            },
        }

    def test_branches(self) -> None:
        """All branches are kept; items outside of the shown one are marked."""
        found = items(
            conversation(
                [
                    node("q", None, message("user", "When?"), "a1", "a2"),
                    node("a1", "q", message("assistant", "At 5.")),
                    node("a2", "q", message("assistant", "At 6.")),
                ]
            )
        )
        assert [(item["text_content"], item["metadata"].get("branch")) for item in found] == [
            ("When?", None),
            ("At 5.", True),
            ("At 6.", None),
        ]

    def test_missing_times(self) -> None:
        """A message without a time follows its parent's, in order."""
        found = items(
            conversation(
                [
                    node("c", "b", message("user", "3", None)),
                    node("b", "a", message("user", "2", None)),
                    node("a", None, message("user", "1", START + 9)),
                    node("x", None, message("user", "0", None)),
                ]
            )
        )
        first = time_of(START + 9)
        assert first is not None
        assert STARTED is not None
        tick = timedelta(microseconds=1)
        assert [item["timestamp"] for item in found] == [first + 2 * tick, first + tick, first, STARTED + tick]

    @pytest.mark.parametrize("time", ["yesterday", [], True, 1e300, float("nan"), {"x": 1}])
    def test_an_invalid_time(self, time: Any) -> None:
        """The time counts as missing; the message is kept."""
        (item,) = items(conversation([node("a", None, message("user", "x", time))], create_time=time))
        assert item["timestamp"] == FILE_TIME + timedelta(microseconds=1)

    def test_cycles(self) -> None:
        """A broken tree does not end the import."""
        found = items(
            conversation([node("a", "b", message("user", "1", None)), node("b", "a", message("user", "2", None))])
        )
        assert len(found) == 2

    @pytest.mark.parametrize(
        ("content", "text", "rest"),
        [
            ({"content_type": "text", "parts": ["a", None, "", "b"]}, "a\nb", None),
            ({"content_type": "text", "parts": "whole"}, "whole", None),
            ("bare", "bare", None),
            (
                {
                    "content_type": "multimodal_text",
                    "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "file://1", "width": 0}, "see"],
                },
                "see",
                {"parts": [{"content_type": "image_asset_pointer", "asset_pointer": "file://1", "width": 0}]},
            ),
            (
                {
                    "content_type": "multimodal_text",
                    "parts": [{"content_type": "audio_transcription", "text": "spoken", "direction": "in"}],
                },
                "spoken",
                {"parts": [{"content_type": "audio_transcription", "direction": "in"}]},
            ),
            (
                {"content_type": "code", "language": "python", "text": "1 + 1"},
                "1 + 1",
                {"language": "python", "content_type": "code"},
            ),
            ({"content_type": "execution_output", "text": "2"}, "2", {"content_type": "execution_output"}),
            (
                {"content_type": "tether_quote", "url": "u", "title": "T", "text": "quoted"},
                "T\nquoted",
                {"url": "u", "content_type": "tether_quote"},
            ),
            (
                {"content_type": "thoughts", "thoughts": [{"summary": "S", "content": "C"}, 5]},
                "S\nC",
                {"content_type": "thoughts"},
            ),
            (
                {"content_type": "user_editable_context", "user_profile": "P", "user_instructions": "I"},
                "P\nI",
                {"content_type": "user_editable_context"},
            ),
            ({"content_type": "new", "payload": {"x": 1}}, None, {"payload": {"x": 1}, "content_type": "new"}),
        ],
    )
    def test_contents(self, content: Any, text: str | None, rest: Any) -> None:
        """The text of each kind of content, and all of its other data."""
        (item,) = items(chat(content))
        assert item["text_content"] == text
        assert item["metadata"].get("content") == rest

    @pytest.mark.parametrize(
        "content", [{"content_type": "text", "parts": [""]}, {"content_type": "text", "parts": []}, None, {}]
    )
    def test_messages_that_say_nothing(self, content: Any) -> None:
        """They are counted, not stored; a conversation of only such messages makes no session."""
        (found,) = outcomes(chat(content))
        assert isinstance(found, Empty)

    def test_details(self) -> None:
        """Attachments, tool names, recipients and custom instructions are kept, even without a text."""
        more = {
            "attachments": [{"id": "f", "name": "a.pdf"}],
            "user_context_message_data": {"about_user_message": "a nurse"},
            "is_visually_hidden_from_conversation": True,
        }
        said = message("tool", "", author={"role": "tool", "name": "dalle"}, recipient="python", metadata=more)
        (item,) = items(conversation([node("a", None, said)]))
        assert item["metadata"] == {
            "source": "chatgpt",
            "role": "tool",
            "node": "a",
            "name": "dalle",
            "recipient": "python",
            "attachments": [{"id": "f", "name": "a.pdf"}],
            "custom_instructions": {"about_user_message": "a nurse"},
            "hidden": True,
            "message_id": "m",
        }

    def test_nothing_is_dropped(self) -> None:
        """References, citations, results of tools and the fields of the conversation are kept."""
        kept = {
            "content_references": [{"matched_text": "*", "url": "https://example.org"}],
            "citations": [{"start_ix": 1}],
            "aggregate_result": {"status": "success", "messages": [{"image_url": "file-service://1"}]},
        }
        said = message("tool", "42", metadata=kept, channel="final", status="in_progress")
        session, item = outcomes(
            conversation([node("a", None, said)], gizmo_id="g-1", is_archived=True, is_starred=None, voice="x")
        )
        assert isinstance(session, Entry)
        assert session.values["metadata"] == {
            "source": "chatgpt",
            "title": "Tides",
            "gizmo_id": "g-1",
            "is_archived": True,
            "voice": "x",
            "update_time": START + 60,
            "current_node": "a",
        }
        assert isinstance(item, Entry)
        metadata = item.values["metadata"]
        assert {name: metadata[name] for name in kept} == kept
        assert (metadata["channel"], metadata["status"]) == ("final", "in_progress")

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (
                {"content_type": "thoughts", "thoughts": [{"summary": "S", "content": "", "chunks": ["a", "b"]}]},
                "S\nab",
            ),
            ({"content_type": "citable_code_output", "output_str": "out", "metadata_list": []}, "out"),
            ({"content_type": "code", "language": "unknown", "text": ""}, None),
            ({"content_type": "thoughts", "source_analysis_msg_id": "z", "thoughts": [{"summary": ""}]}, None),
        ],
    )
    def test_rare_contents(self, content: Any, text: str | None) -> None:
        """Text in unusual fields is read; content with only a description is empty."""
        found = outcomes(chat(content))[-1]
        assert (found.values["text_content"] if isinstance(found, Entry) else None) == text
        assert isinstance(found, Entry if text else Empty)

    def test_ids(self) -> None:
        """The same message of the same user has the same id; other users and conversations have other ids."""
        said = [node("a", None, message("user", "x"))]
        ids = [
            items(conversation(said, **fields), context=Context(user, "notes", FILE_TIME))[0]["id"]
            for user in ("ada", "bob")
            for fields in ({}, {"conversation_id": "c2"}, {"conversation_id": None, "id": None})
        ]
        assert len(set(ids)) == len(ids)
        assert ids[0] == items(conversation(said))[0]["id"]

    @pytest.mark.parametrize("bad", [5, "x", [], {"message": "x"}, {"message": []}])
    def test_a_bad_node(self, bad: Any) -> None:
        """Only this node is rejected, by its name."""
        mapping = {"bad": bad, "a": node("a", "bad", message("user", "x"))}
        rejects = list(outcomes(conversation([node("a", None, None)], mapping=mapping), index=4))
        assert [type(found) for found in rejects] == [Entry, Reject, Entry]
        assert isinstance(rejects[1], Reject)
        assert json.loads(rejects[1].to_json_line())["inside"] == "node bad"
        assert json.loads(rejects[1].to_json_line())["element"] == 4

    def test_a_user_is_needed(self) -> None:
        """The export does not name its user."""
        with pytest.raises(UserIdMissingError):
            outcomes(chat("x"), context=Context(None, "notes", FILE_TIME))

    @given(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON), JSON, JSON, JSON)
    def test_anything_can_stand_anywhere(self, mapping: Any, content: Any, author: Any, metadata: Any) -> None:
        """Content never ends the import: every node with a message is an entry, empty or a reject."""
        said = message("user", "", content=content, author=author, metadata=metadata, recipient=author)
        nodes = {**mapping, "z": {"message": said, "parent": content}, "y": node("y", "a", said)}
        found = outcomes(conversation([node("z", None, None)], mapping=nodes, title=content, current_node=author))
        bare = sum(isinstance(each, dict) and each.get("message") is None for each in nodes.values())
        sessions = sum(isinstance(each, Entry) and each.model == "UserSession" for each in found)
        assert len(found) - sessions == len(nodes) - bare


class TestLangChain:
    """A list of messages becomes one session's items, in order."""

    def test_a_list(self) -> None:
        """Roles, texts, times in order, and all other fields of a message."""
        calls = [{"name": "tides", "args": {"at": "Brest"}, "id": "t1"}]
        found = items(
            [
                langchain("system", "Be kind."),
                langchain("human", "When?"),
                langchain("ai", "", tool_calls=calls),
                langchain("tool", [{"type": "text", "text": "6"}, "h", {"type": "image_url"}], tool_call_id="t1"),
                langchain("AIMessageChunk", "At 6."),
                langchain("chat", "Arr.", role="pirate"),
            ]
        )
        assert [(item["metadata"]["role"], item["text_content"]) for item in found] == [
            ("system", "Be kind."),
            ("user", "When?"),
            ("assistant", None),
            ("tool", "6\nh"),
            ("assistant", "At 6."),
            ("pirate", "Arr."),
        ]
        assert found[2]["metadata"]["tool_calls"] == calls
        assert found[3]["metadata"]["parts"] == [{"type": "image_url"}]
        assert [item["timestamp"] - FILE_TIME for item in found] == [timedelta(milliseconds=n) for n in range(6)]
        assert {item["session_id"] for item in found} == {"notes"}
        assert len({item["id"] for item in found}) == 6

    @pytest.mark.parametrize(
        "data",
        [
            {"additional_kwargs": {"timestamp": "2026-01-02T03:04:05Z"}},
            {"response_metadata": {"created_at": 1767323045}},
            {"timestamp": 1767323045000},
            {"timestamp": 1767323045000000},
            {"timestamp": 1767323045000000000},
            {"timestamp": "1767323045000"},
            {"timestamp": "1767323045"},
            {"timestamp": "2026-01-02 03:04:05 UTC"},
            {"timestamp": "2026-01-02T03:04:05.000000000Z"},
            {"timestamp": "Fri, 02 Jan 2026 04:04:05 +0100"},
            {"timestamp": "", "additional_kwargs": {"created_at": "2026-01-02T04:04:05+01:00"}},
        ],
    )
    def test_a_time_of_its_own(self, data: dict[str, Any]) -> None:
        """In the fields where integrations store one."""
        (item,) = items([langchain("human", "x", **data)])
        assert item["timestamp"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        "time",
        ["17120101", -8_130_000_000, 0, 50_000_000_000, 1e30, "1712-01-01T00:00:00Z", "soon", True],
    )
    def test_a_time_that_cannot_be(self, time: Any) -> None:
        """Times outside of 1970 to 2200 are not the message's time; the value is kept in the metadata."""
        (item,) = items([langchain("human", "x", timestamp=time)])
        assert item["timestamp"] == FILE_TIME
        assert item["metadata"]["original_time"] == time

    def test_sessions(self) -> None:
        """Messages of an array or on lines make the file's session; each further list makes another one."""
        said = langchain("human", "x")
        assert items(said, index=2)[0]["session_id"] == "notes"
        assert items(said, ordinal=7)[0]["session_id"] == "notes"
        assert items([said], ordinal=2)[0]["session_id"] == "notes-3"
        assert items([said], index=1)[0]["session_id"] == "notes-2"

    def test_ids(self) -> None:
        """By the message's own id, or else by its position; never by its text."""
        first, second = items([langchain("human", "x"), langchain("human", "x")])
        assert first["id"] != second["id"]
        assert items([langchain("human", "y")])[0]["id"] == first["id"]
        assert items(langchain("human", "x"), ordinal=1)[0]["id"] == second["id"]
        assert (
            items([langchain("human", "x", id="run-1")])[0]["id"]
            == items([langchain("human", "-"), langchain("human", "x", id="run-1")])[1]["id"]
        )

    def test_rows_of_a_redis_history(self) -> None:
        """Session, id and time are those of the row; its other fields are kept."""
        row = {"message_id": "01A", "session_id": "alpha", "timestamp": 1767323045.25, "ttl": 9}
        (item,) = items({**langchain("human", "hi"), **row}, ordinal=4)
        assert (item["session_id"], item["text_content"]) == ("alpha", "hi")
        assert item["timestamp"] == datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)
        assert item["metadata"] == {"source": "langchain", "role": "user", "message_id": "01A", "ttl": 9}
        assert items({**langchain("human", "hi"), **row})[0]["id"] == item["id"]

    @pytest.mark.parametrize(
        "content",
        [
            {"id": 7, "session_id": "alpha", "message": langchain("human", "hi")},
            {"id": 7, "session_id": "alpha", "message": json.dumps(langchain("human", "hi"))},
        ],
    )
    def test_rows_of_an_sql_history(self, content: Any) -> None:
        """The message is an object or its text; the row's id identifies it."""
        (item,) = items(content, ordinal=3)
        assert (item["session_id"], item["text_content"]) == ("alpha", "hi")
        assert item["id"] == items(content, ordinal=1)[0]["id"] != items({**content, "id": 8})[0]["id"]

    def test_fields_of_a_text(self) -> None:
        """Other fields of a part are kept."""
        part = {"type": "text", "text": "At 6.", "annotations": [{"url": "u"}], "id": "msg_1"}
        (item,) = items([langchain("ai", [part])])
        assert item["text_content"] == "At 6."
        assert item["metadata"]["parts"] == [{"type": "text", "annotations": [{"url": "u"}], "id": "msg_1"}]

    def test_other_forms(self) -> None:
        """Messages as objects and as constructors."""
        path = ["langchain", "schema", "messages", "AIMessage"]
        found = items(
            [
                {"type": "human", "content": "When?"},
                {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": "At 6.", "type": "ai"}},
                {"type": "HumanMessage", "data": {"content": "Thanks"}},
            ]
        )
        assert [(item["metadata"]["role"], item["text_content"]) for item in found] == [
            ("user", "When?"),
            ("assistant", "At 6."),
            ("user", "Thanks"),
        ]

    def test_empty_messages(self) -> None:
        """A message without text and other values is counted, not stored."""
        (found,) = outcomes([langchain("ai", "")])
        assert isinstance(found, Empty)

    def test_what_is_no_message(self) -> None:
        """Only this value is rejected, by its position."""
        found = outcomes([langchain("human", "x"), {"type": "human"}])
        (reject,) = (outcome for outcome in found if isinstance(outcome, Reject))
        assert len(found) == 2
        assert reject.place.inside == "message 1"

    @given(JSON, JSON, JSON)
    def test_anything_can_stand_anywhere(self, content: Any, kwargs: Any, key: Any) -> None:
        """No content ends the import."""
        assert len(outcomes([langchain("ai", content, additional_kwargs=kwargs, id=key)])) == 1


class TestOwn:
    """A line of our own export."""

    LINE = {
        "model": "MemoryItem",
        "id": "m1",
        "user_id": "zoë",
        "item_type": "fact",
        "timestamp": "2026-01-02T03:04:05.000006+01:00",
    }

    def test_a_line(self) -> None:
        """Its fields are unchanged; optional fields may be missing."""
        (item,) = items(self.LINE)
        assert item["timestamp"] == datetime(2026, 1, 2, 2, 4, 5, 6, tzinfo=UTC)
        assert item["user_id"] == "zoë"

    def test_a_line_that_names_no_user(self) -> None:
        """It gets the user that the command names."""
        line = {name: value for name, value in self.LINE.items() if name != "user_id"}
        assert items(line)[0]["user_id"] == "ada"
        (found,) = outcomes(line, context=Context(None, "notes", FILE_TIME))
        assert isinstance(found, Reject)
        assert "--user-id" in found.reason

    @pytest.mark.parametrize(
        ("change", "start"),
        [
            ({"model": "Spell"}, "model: 'Spell'"),
            ({"colour": 1}, "colour: unknown field"),
            ({"id": 5}, "id: must be a string, not a number"),
            ({"user_id": None}, "user_id: must be a string, not null"),
            ({"text_content": ["x"]}, "text_content: must be a string, not a list"),
            ({"timestamp": "soon"}, "timestamp: must be a time"),
            ({"timestamp": 5}, "timestamp: must be a time"),
            ({"metadata": []}, "metadata: must be an object"),
            ({"metadata": None}, "metadata: must be an object"),
            ({"embedding": "AAAA"}, "embedding: must be a list of numbers"),
        ],
    )
    def test_what_does_not_fit(self, change: dict[str, Any], start: str) -> None:
        """The reason names the field and its valid values."""
        assert reason({**self.LINE, **change}).startswith(start)

    @pytest.mark.parametrize("name", ["id", "item_type", "timestamp"])
    def test_what_is_missing(self, name: str) -> None:
        """A field that a record must have."""
        line = {key: value for key, value in self.LINE.items() if key != name}
        assert reason(line) == f"{name}: this field is required."


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        (b"{", "Invalid JSON"),
        (b'{"a": "\xff"}', "Invalid UTF-8"),
        (b'{"a": "\x00"}', "Invalid JSON"),
        (b"[" * 100_000, "This is nested too deeply"),
        (b"9" * 5_000, "Invalid JSON"),
        (b"{}", "Unknown format"),
        (b"null", "Unknown format"),
        (b'"text"', "Unknown format"),
        (b"[1]", "Unknown format"),
        (b'{"mapping": 5}', "mapping: must be an object"),
    ],
)
def test_what_is_no_record(raw: bytes, start: str) -> None:
    """It is rejected with its line and its text."""
    (found,) = outcomes(raw)
    assert isinstance(found, Reject)
    assert found.reason.startswith(start)
    line = json.loads(found.to_json_line())
    assert line["line"] == 3
    assert line["raw"] == raw.decode(errors="backslashreplace")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"type": "order.paid", "data": {"amount": 5}}, "event"),
        ({"type": "session.created", "data": {"content": "started", "id": "x"}}, "event"),
        ({"type": "values", "ns": [], "data": {"messages": [{"type": "human", "content": "Hi"}]}}, "event"),
        ({"object": "chat.completion", "model": "gpt-4o", "choices": []}, "chat completions"),
        ({"object": "response", "model": "gpt-4o", "output": []}, "responses API"),
        ({"model": "gpt-4o", "prompt": "x"}, "MemoryItem, AgentData, UserSession"),
        ({"what": 1, "else": 2}, "the keys 'what', 'else'"),
        ({}, "empty"),
    ],
)
def test_the_reason_names_what_it_looks_like(content: Any, says: str) -> None:
    """Values of other programs are not mistaken for messages or records."""
    assert reason(content).startswith("Unknown format")
    assert says in reason(content)


@given(JSON)
def test_any_value(content: Any) -> None:
    """Any JSON value has an outcome."""
    assert outcomes(content)
