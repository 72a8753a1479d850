"""Random valid files of each format, with an account of what they contain.

Every text and most numbers of a file occur once in it, so that a test can find each of them again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

T = 1_767_323_045
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
# Names of additional fields, some of which the import uses itself.
NAMES = st.sampled_from(
    [
        "x",
        "Ünicode",
        "source",
        "fields",
        "parts",
        "message_id",
        "node",
        "original_time",
        "row",
        "stated_role",
        "relation",
    ]
)
BAD = st.sampled_from([5, True, "text", [1]])


@dataclass
class Unit:
    """Fields that must be in one record: that of a session (`message` is None) or of a message."""

    fields: Any
    message: int | None = None


@dataclass
class File:
    """A file's value, its units, the places of messages that must be rejected, and names that change."""

    content: Any
    units: list[Unit] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    renamed: dict[str, set[str]] = field(default_factory=dict)


class Maker:
    """Draws values that are unique in a file."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.numbers = itertools.count(1)

    def word(self) -> str:
        """A text."""
        return f"{self.draw(TEXT)}<{next(self.numbers)}>"

    def value(self, depth: int = 2) -> Any:
        """Any JSON value."""
        kind = self.draw(st.sampled_from("tnfbzlm" if depth else "tnfbz"))
        if kind in "lm":
            members = [self.value(depth - 1) for _ in range(self.draw(st.integers(0, 2)))]
            return members if kind == "l" else {f"k{place}": member for place, member in enumerate(members)}
        number = next(self.numbers)
        return {"t": self.word(), "n": 1_000_000 + number, "f": number + 0.25, "b": self.draw(st.booleans()), "z": 0}[
            kind
        ]

    def more(self, *taken: str) -> dict[str, Any]:
        """Additional fields."""
        names = self.draw(st.lists(NAMES, max_size=3, unique=True))
        return {name: self.value() for name in names if name not in taken}

    def time(self) -> Any:
        """A time or none, in any order."""
        seconds = self.draw(st.none() | st.integers(T - 5, T + 5))
        return None if seconds is None else seconds + next(self.numbers) / 1024

    def messages(
        self, make: Callable[[int], Any], place: str = "message {}"
    ) -> tuple[list[Any], list[Unit], list[str]]:
        """One to four messages, some of which are none; with their units and the places of the others."""
        made: list[Any] = []
        units: list[Unit] = []
        rejected: list[str] = []
        for position in range(self.draw(st.integers(1, 4))):
            if position and self.draw(st.integers(0, 5)) == 0:
                made.append(self.draw(BAD))
                rejected.append(place.format(position))
            else:
                made.append(make(position))
                units.append(Unit(made[-1], position))
        return made, units, rejected


def pick(make: Maker, *values: str) -> str:
    return make.draw(st.sampled_from(values))


@st.composite
def openai(draw: st.DrawFn) -> File:
    """Requests of chat completions."""
    make = Maker(draw)

    def message(position: int) -> dict[str, Any]:
        body = (
            make.word()
            if draw(st.booleans())
            else [
                {"type": "text", "text": make.word(), "cache": make.value()},
                {"type": "image_url", "image_url": {"url": make.word()}},
            ]
        )
        calls = [{"id": make.word(), "function": {"name": make.word(), "arguments": make.word()}}]
        return {
            "role": pick(make, "system", "user", "assistant"),
            "content": body,
            "tool_calls": calls,
            "created_at": make.time(),
            **make.more(),
        }

    messages, units, rejected = make.messages(message)
    about = {"model": make.word(), "temperature": 0, **make.more()}
    return File(
        {**about, "messages": messages},
        [Unit(about), *units],
        rejected,
        {"content": {"text_content"}, "text": {"text_content"}},
    )


@st.composite
def responses(draw: st.DrawFn) -> File:
    """Requests of the responses API."""
    make = Maker(draw)

    def item(position: int) -> dict[str, Any]:
        return draw(
            st.sampled_from(
                [
                    {
                        "type": "function_call",
                        "id": make.word(),
                        "name": make.word(),
                        "arguments": make.word(),
                        **make.more(),
                    },
                    {
                        "type": "function_call_output",
                        "call_id": make.word(),
                        "output": make.word(),
                        "status": make.word(),
                    },
                    {
                        "type": "reasoning",
                        "id": make.word(),
                        "summary": [{"type": "summary_text", "text": make.word()}],
                    },
                    {
                        "type": "message",
                        "role": "user",
                        "id": make.word(),
                        "content": [{"type": "input_text", "text": make.word()}],
                    },
                ]
            )
        )

    items, units, rejected = make.messages(item)
    about = {"model": make.word(), **make.more()}
    renamed = {
        "text": {"text_content", "reasoning"},
        "output": {"text_content"},
        "id": {"message_id"},
        "summary": {"reasoning"},
    }
    return File({**about, "input": items}, [Unit(about), *units], rejected, renamed)


@st.composite
def batch_requests(draw: st.DrawFn) -> File:
    """A line of a batch's input file: a request of either API."""
    request = draw(openai() | responses())
    around = {"custom_id": f"line {draw(TEXT)}", "method": "POST", "url": f"/v1/{draw(TEXT)}"}
    units = [Unit(around), *request.units]
    return File({**around, "body": request.content}, units, request.rejected, request.renamed)


@st.composite
def answers(draw: st.DrawFn) -> File:
    """Answers of OpenAI's two APIs, alone or in a line of a batch's output."""
    make = Maker(draw)
    if draw(st.booleans()):
        choices = [
            {
                "index": 0,
                "finish_reason": make.word(),
                "logprobs": {"content": [make.value()]},
                "message": {
                    "role": "assistant",
                    "content": make.word(),
                    "annotations": [{"url": make.word()}],
                    **make.more("message_id"),
                },
            }
            for _ in range(draw(st.integers(1, 3)))
        ]
        about = {"object": "chat.completion", "model": make.word(), "usage": {"total_tokens": make.value()}}
        body = {**about, "created": T, "choices": choices}
        units = [Unit(about, 0), *(Unit(choice, place) for place, choice in enumerate(choices))]
    else:
        items = [
            {
                "type": "message",
                "id": make.word(),
                "role": "assistant",
                "status": make.word(),
                "content": [{"type": "output_text", "text": make.word(), "annotations": [make.value()]}],
            }
            for _ in range(draw(st.integers(1, 3)))
        ]
        about = {"object": "response", "model": make.word(), "usage": {"output_tokens": make.value()}, **make.more()}
        body = {**about, "created_at": T + 0.5, "output": items}
        units = [Unit(about, 0), *(Unit(item, place) for place, item in enumerate(items))]
    renamed = {"content": {"text_content"}, "text": {"text_content"}, "id": {"message_id"}}
    if draw(st.booleans()):
        return File(body, units, [], renamed)
    around = {"id": make.word(), "custom_id": make.word(), "response": {"status_code": 200, "request_id": make.word()}}
    content = {**around, "response": {**around["response"], "body": body}, "error": None}
    return File(content, [Unit(around), *units], [], renamed)


@st.composite
def threads(draw: st.DrawFn) -> File:
    """Pages of a thread, newest first."""
    make = Maker(draw)

    def message(position: int) -> dict[str, Any]:
        return {
            "id": make.word(),
            "object": "thread.message",
            "created_at": T - position,
            "thread_id": "thread",
            "role": pick(make, "user", "assistant"),
            "content": [{"type": "text", "text": {"value": make.word(), "annotations": [make.value()]}}],
            "attachments": [{"file_id": make.word()}],
            "metadata": {"k": make.value()},
            **make.more(),
        }

    messages = [message(position) for position in range(draw(st.integers(2, 4)))]
    content = {"object": "list", "data": messages, "has_more": draw(st.booleans())}
    units = [Unit(each, place) for place, each in enumerate(messages)]
    return File(content, units, [], {"value": {"text_content"}, "id": {"message_id"}})


@st.composite
def anthropic_answers(draw: st.DrawFn) -> File:
    """Answers, alone or in a line of a batch's results, and a request in a line of a batch."""
    make = Maker(draw)
    answer = {
        "id": make.word(),
        "model": make.word(),
        "stop_reason": make.word(),
        "usage": {"input_tokens": make.value()},
        "content": [
            {"type": "text", "text": make.word(), "citations": [make.value()]},
            {"type": "thinking", "thinking": make.word(), "signature": make.word()},
        ],
        **make.more(),
    }
    renamed = {"text": {"text_content"}, "id": {"message_id"}, "content": {"text_content"}}
    whole = {**answer, "type": "message", "role": "assistant"}
    kind = draw(st.sampled_from(["alone", "result", "request"]))
    if kind == "alone":
        return File(whole, [Unit(answer, 0)], [], renamed)
    custom = {"custom_id": make.word()}
    if kind == "result":
        content = {**custom, "result": {"type": "succeeded", "message": whole}}
        return File(content, [Unit({**answer, **custom}, 0)], [], renamed)
    said = {"content": make.word(), **make.more()}
    about = {"model": make.word(), "max_tokens": 9, **make.more()}
    content = {**custom, "params": {**about, "messages": [{"role": "user", **said}]}}
    return File(content, [Unit({**about, **custom}), Unit(said, 0)], [], renamed)


@st.composite
def anthropic(draw: st.DrawFn) -> File:
    """Requests with a system prompt."""
    make = Maker(draw)

    def message(position: int) -> dict[str, Any]:
        blocks = [
            {"type": "text", "text": make.word(), "citations": [make.value()]},
            {"type": "thinking", "thinking": make.word(), "signature": make.word()},
            {"type": "tool_use", "id": make.word(), "name": make.word(), "input": {"at": make.value()}},
            {
                "type": "tool_result",
                "tool_use_id": make.word(),
                "content": make.word(),
                "is_error": draw(st.booleans()),
            },
        ]
        return {
            "role": pick(make, "user", "assistant"),
            "id": make.word(),
            "content": draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=3, unique_by=id)),
            **make.more(),
        }

    messages = [message(position) for position in range(draw(st.integers(1, 4)))]
    about = {"model": make.word(), "max_tokens": 9, **make.more()}
    system = {"system": make.word()}
    units = [Unit(about), Unit(system, 0), *(Unit(each, place + 1) for place, each in enumerate(messages))]
    renamed = {"text": {"text_content"}, "system": {"text_content"}, "id": {"message_id"}}
    return File({**about, **system, "messages": messages}, units, [], renamed)


@st.composite
def sharegpt(draw: st.DrawFn) -> File:
    """Conversations of a data set."""
    make = Maker(draw)
    who, said = draw(st.sampled_from([("from", "value"), ("role", "content")]))
    messages, units, rejected = make.messages(
        lambda position: {who: make.word(), said: make.word(), "weight": 0, **make.more()}
    )
    about = {"id": make.word(), **make.more()}
    renamed = {"from": {"role"}, "value": {"text_content"}, "content": {"text_content"}, "id": {"session_id"}}
    return File({**about, "conversations": messages}, [Unit(about), *units], rejected, renamed)


@st.composite
def adk(draw: st.DrawFn) -> File:
    """Sessions with events."""
    make = Maker(draw)

    def event(position: int) -> dict[str, Any]:
        parts = [
            {"text": make.word()},
            {"text": make.word(), "thought": True},
            {"functionCall": {"name": make.word(), "args": {"at": make.value()}}},
        ]
        return {
            "id": make.word(),
            "author": make.word(),
            "timestamp": make.time(),
            "invocationId": make.word(),
            "content": {
                "role": "model",
                "parts": draw(st.lists(st.sampled_from(parts), min_size=1, max_size=3, unique_by=id)),
            },
            "actions": {"stateDelta": {"at": make.value()}},
            **make.more(),
            **({"name": make.word()} if draw(st.booleans()) else {}),
        }

    events, units, rejected = make.messages(event)
    about = {
        "id": make.word(),
        "appName": make.word(),
        "state": {"at": make.value()},
        "lastUpdateTime": T + 0.5,
        **make.more(),
    }
    renamed = {"id": {"message_id", "session_id"}, "author": {"name"}, "text": {"text_content", "thinking"}}
    return File({**about, "userId": "ada", "events": events}, [Unit(about), *units], rejected, renamed)


@st.composite
def letta(draw: st.DrawFn) -> File:
    """Agents with their messages."""
    make = Maker(draw)

    def message(position: int) -> dict[str, Any]:
        return {
            "id": make.word(),
            "role": pick(make, "user", "assistant", "tool"),
            "content": [{"type": "text", "text": make.word()}],
            "created_at": make.time(),
            "updated_at": make.word(),
            "tool_calls": [make.value()],
            **make.more(),
        }

    messages, units, rejected = make.messages(message, "agent 0, message {}")
    about = {
        "id": make.word(),
        "name": make.word(),
        "system": make.word(),
        "llm_config": {"model": make.word()},
        **make.more("fields"),
    }
    file = {"tools": [{"name": make.word()}], "metadata": {"x": make.value()}}
    block = {"id": make.word(), "label": make.word(), "value": make.word(), "limit": 0, **make.more()}
    renamed = {
        "id": {"message_id", "session_id", "block_id"},
        "name": {"title"},
        "text": {"text_content"},
        "value": {"text_content"},
    }
    content = {**file, "agents": [{**about, "messages": messages}], "blocks": [block]}
    return File(content, [Unit({**about, "file": file}), *units, Unit(block, -1)], rejected, renamed)


@st.composite
def mem0(draw: st.DrawFn) -> File:
    """Memories and relations."""
    make = Maker(draw)

    def memory(position: int) -> dict[str, Any]:
        return {
            "id": make.word(),
            "memory": make.word(),
            "run_id": make.word(),
            "agent_id": make.word(),
            "score": position + 0.125,
            "metadata": {"kind": make.value(), **make.more()},
            "hash": make.word(),
            "updated_at": make.word(),
            **make.more("relation"),
        }

    memories, units, rejected = make.messages(memory, "result {}")
    relation = {"source": make.word(), "relationship": make.word(), "target": make.word()}
    renamed = {"id": {"memory_id"}, "memory": {"text_content"}, "run_id": {"session_id"}}
    return File({"results": memories, "relations": [relation]}, [*units, Unit(relation, -1)], rejected, renamed)


@st.composite
def gemini(draw: st.DrawFn) -> File:
    """An activity."""
    make = Maker(draw)
    prompt = {
        "title": f"Prompted {make.word()}",
        "header": make.word(),
        "products": [make.word()],
        "attachedFiles": [make.word()],
        **make.more(),
    }
    answer = {"html": f"<p>{make.draw(st.integers(0, 9))} &amp; <b>bold</b></p>"}
    content = {**prompt, "time": "2026-01-02T03:04:05.123Z", "safeHtmlItem": [answer]}
    return File(content, [Unit(prompt, 0), Unit(answer, 1)], [])


@st.composite
def aistudio(draw: st.DrawFn) -> File:
    """A prompt of AI Studio."""
    make = Maker(draw)

    def chunk(position: int) -> dict[str, Any]:
        return {
            "role": pick(make, "user", "model"),
            "text": make.word(),
            "isThought": draw(st.booleans()),
            "createTime": make.time(),
            "tokenCount": 1_000_000 + position,
            "driveImage": {"id": make.word()},
            "parts": [{"text": make.word(), "thoughtSignature": make.word()}],
            **make.more(),
        }

    chunks, units, rejected = make.messages(chunk)
    about = {
        "runSettings": {"model": make.word(), "temperature": make.value()},
        "chunkedPrompt": {"pendingInputs": [{"text": make.word(), "role": make.word()}], **make.more()},
        **make.more(),
    }
    system = {"systemInstruction": {"text": make.word()}}
    content = {**about, **system, "chunkedPrompt": {**about["chunkedPrompt"], "chunks": chunks}}
    renamed = {"text": {"text_content", "thinking"}, "createTime": {"original_time"}}
    return File(content, [Unit(about), Unit(system["systemInstruction"], -1), *units], rejected, renamed)


@st.composite
def claude(draw: st.DrawFn) -> File:
    """Conversations in a list or a tree."""
    make = Maker(draw)
    keys: list[str] = []

    def message(position: int) -> dict[str, Any]:
        parents = {"parent_message_uuid": draw(st.sampled_from(keys))} if keys and draw(st.booleans()) else {}
        keys.append(make.word())
        blocks = [
            {"type": "text", "text": make.word(), "flags": make.value()},
            {"type": "thinking", "thinking": make.word()},
            {"type": "tool_use", "name": make.word(), "input": {"at": make.value()}},
        ]
        return {
            "uuid": keys[-1],
            "sender": pick(make, "human", "assistant"),
            "text": make.word(),
            "content": draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=3, unique_by=id)),
            "attachments": [{"file_name": make.word(), "extracted_content": make.word()}],
            "created_at": make.time(),
            "updated_at": make.word(),
            **parents,
            **make.more(),
        }

    messages, units, rejected = make.messages(message)
    about = {
        "uuid": make.word(),
        "name": make.word(),
        "account": {"uuid": make.word()},
        "updated_at": make.word(),
        **make.more(),
    }
    renamed = {"uuid": {"message_id", "session_id"}, "name": {"title"}, "text": {"text_content"}}
    return File({**about, "chat_messages": messages}, [Unit(about), *units], rejected, renamed)


@st.composite
def chatgpt(draw: st.DrawFn) -> File:
    """A tree of messages of many content types."""
    make = Maker(draw)
    mapping: dict[str, Any] = {"r": {"id": "r", "parent": None, "message": None}}
    units: list[Unit] = []
    rejected: list[str] = []
    for position in range(draw(st.integers(1, 4))):
        key = make.word()
        if position and draw(st.integers(0, 5)) == 0:
            mapping[key] = draw(BAD)
            rejected.append(f"node {key}")
            continue
        contents = [
            {"content_type": "text", "parts": [make.word(), make.word()]},
            {
                "content_type": "multimodal_text",
                "parts": [{"asset_pointer": make.word(), "size": make.value()}, make.word()],
            },
            {"content_type": "code", "language": make.word(), "text": make.word()},
            {"content_type": "tether_quote", "url": make.word(), "title": make.word(), "text": make.word()},
            {
                "content_type": "thoughts",
                "thoughts": [{"summary": make.word(), "content": make.word()}],
                "source_analysis_msg_id": make.word(),
            },
            {"content_type": make.word(), "state": {"url": make.word(), "k": make.value()}},
        ]
        message = {
            "id": make.word(),
            "author": {
                "role": pick(make, "user", "assistant", "tool"),
                "name": make.word(),
                "metadata": {"real": make.value()},
            },
            "content": draw(st.sampled_from(contents)),
            "create_time": make.time(),
            "update_time": T + 0.5,
            "weight": draw(st.sampled_from([0, 0.5])),
            "end_turn": draw(st.booleans()),
            "recipient": make.word(),
            "channel": make.word(),
            "status": make.word(),
            "metadata": {
                "model_slug": make.word(),
                "citations": [make.value()],
                "attachments": [{"name": make.word()}],
                "request_id": make.word(),
                **make.more(),
            },
        }
        mapping[key] = {"id": key, "parent": draw(st.sampled_from(list(mapping))), "message": message}
        units.append(Unit({"node": key, **message}, position))
    about = {
        "conversation_id": make.word(),
        "title": make.word(),
        "is_archived": draw(st.booleans()),
        "gizmo_id": make.word(),
        "update_time": T + 0.5,
        **make.more(),
    }
    renamed = {
        **{name: {"text_content"} for name in ("parts", "text", "title", "url", "summary", "content")},
        "id": {"message_id"},
        "conversation_id": {"session_id"},
        "model_slug": {"model"},
    }
    return File({**about, "create_time": T, "mapping": mapping}, [Unit(about), *units], rejected, renamed)


@st.composite
def langchain(draw: st.DrawFn) -> File:
    """Lists of messages, in one of the forms."""
    make = Maker(draw)
    form = draw(st.sampled_from(["dict", "row", "dumps", "sql", "mongo"]))

    def message(position: int) -> dict[str, Any]:
        body = (
            make.word()
            if draw(st.booleans())
            else [
                {"type": "text", "text": make.word(), "id": make.word()},
                {"type": "image_url", "image_url": {"url": make.word()}},
            ]
        )
        data = {
            "content": body,
            "id": make.word(),
            "name": make.word(),
            "tool_calls": [make.value()],
            "additional_kwargs": {"k": make.value()},
            "response_metadata": {"k": make.value()},
            **make.more("node"),
        }
        kind = pick(make, "human", "ai", "system", "tool")
        if form == "dumps":
            return {"lc": 1, "type": "constructor", "id": ["langchain", f"{kind.capitalize()}Message"], "kwargs": data}
        if form == "mongo":
            row = {"_id": {"$oid": make.word()}, "SessionId": "s", "x": make.value()}
            return {**row, "History": json.dumps({"type": kind, "data": data})}
        if form == "sql":
            return {
                "id": 7_000_000 + position,
                "session_id": "s",
                "message": {"type": kind, "data": data},
                "x": make.value(),
            }
        row = (
            {"message_id": make.word(), "session_id": "s", "timestamp": T + position, "x": make.value()}
            if form == "row"
            else {}
        )
        return {"type": kind, "data": data, **row}

    messages, units, rejected = make.messages(message)
    for unit in units:
        fields = unit.fields.get("kwargs") or unit.fields
        if "History" in fields:
            fields = {**fields, "History": json.loads(fields["History"]), "SessionId": None}
        unit.fields = {name: value for name, value in fields.items() if name not in ("lc", "type")}
    renamed = {"content": {"text_content"}, "text": {"text_content"}, "id": {"message_id", "row_id"}}
    return File({"messages": messages}, units, rejected, renamed)


FORMATS: dict[str, st.SearchStrategy[File]] = {
    make.__name__: make()
    for make in (
        openai,
        responses,
        batch_requests,
        answers,
        threads,
        anthropic,
        anthropic_answers,
        sharegpt,
        adk,
        letta,
        mem0,
        gemini,
        aistudio,
        claude,
        chatgpt,
        langchain,
    )
}
