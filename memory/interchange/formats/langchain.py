"""LangChain messages as written by `messages_to_dict` and chat message histories.

`{"type": "human", "data": {"content": ...}}`, alone or in lists; a list is a conversation. Rows of Redis and SQL
histories also state their session, id and time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from memory.interchange.entries import (
    Context,
    Empty,
    Entry,
    Outcome,
    Outcomes,
    Place,
    Reject,
    Removal,
    Turn,
    Value,
    derived_id,
    given,
    has_content,
    merged,
    time_of,
)
from memory.interchange.messages import Conversation, start_of, text_of, without

SOURCE = "langchain"
ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant"}
# The types of messages, in lower case and without the `Message` and `MessageChunk` of class names.
KINDS = frozenset({"human", "ai", "system", "tool", "function", "chat", "developer", "remove"})
# Keys of a message's time, in the message or in one of these maps.
TIMES = ("timestamp", "created_at")
MAPS = ("additional_kwargs", "response_metadata")
# Irrelevant outside of LangChain, or stored elsewhere.
EXCLUDED = frozenset({"content", "type", "role"})
# Fields without which a message is empty.
INCIDENTAL = ("response_metadata", "id", "name", "example")
# The id of LangGraph's removal of all messages.
ALL = "__remove_all__"
ALL_REASON = (
    "A removal of all messages is applied only in an object with `messages`. "
    "In this file, delete it and the messages before it."
)
# The keys of the session and the message in rows of SQL and of MongoDB.
ROWS = (("session_id", "message"), ("SessionId", "History"))
# Fields of a history's row that are stored elsewhere.
ROW_EXCLUDED = frozenset({"session_id", "message_id", "timestamp", "created_at", "id"})


def recognises(content: object) -> bool:
    """Detect a message, or a list that contains one, also as `messages` of an object or of its `values`."""
    return any(_normal(member) is not None for member in _listed(content) or [content])


def _listed(content: object) -> list[Any] | None:
    """A list, or the `messages` of a graph's state or a run; None for other values."""
    if isinstance(content, dict):
        content = content["values"] if isinstance(content.get("values"), dict) else content
        content = content.get("messages")
    return content if isinstance(content, list) else None


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an entry per message."""
    session_id, place = _session(value, context), value.place
    if (members := _listed(value.content)) is None:
        position = value.ordinal if place.index is None else place.index
        yield _outcome(value.content, position, session_id, place, context)
        return
    if isinstance(value.content, dict) and (about := _about(value.content)):
        messages = filter(None, map(_normal, members))
        start = start_of((_stated_time(one.row) or _stated_time(one.data) for one in messages), context)
        yield Conversation(SOURCE, context.required_user_id(), session_id).session(start, about, place)
    yield from _without_removed(members, session_id, place, context)


def _without_removed(members: Sequence[Any], session_id: str, place: Place, context: Context) -> Outcomes:
    """The outcomes of a list's members. Messages before the last removal of all messages become removals."""
    clearing = {position for position, member in enumerate(members) if _removes_all(member)}
    outcomes = [
        _outcome(member, position, session_id, Place(place.line, place.index, f"message {position}"), context)
        for position, member in enumerate(members)
        if position not in clearing
    ]
    before = max(clearing, default=-1) + 1 - len(clearing)
    kept = {outcome.values["id"] for outcome in outcomes[before:] if isinstance(outcome, Entry)}
    for number, outcome in enumerate(outcomes):
        if number >= before or not isinstance(outcome, Entry):
            yield outcome
        elif (id := outcome.values["id"]) not in kept:
            yield Removal(id, outcome.place)


def _removes_all(content: object) -> bool:
    message = _normal(content)
    return message is not None and _kind(message.kind) == "remove" and message.data.get("id") == ALL


def _about(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object except for its messages."""
    about = without(content, "messages")
    if isinstance(values := content.get("values"), dict):
        about["values"] = without(values, "messages")
    return given(about)


def _outcome(content: object, position: int, session_id: str, place: Place, context: Context) -> Outcome:
    message = _normal(content)
    if message is None:
        return Reject(place, "This is not a LangChain message with `type` and `data`.", content)
    return _message(message, position, session_id, place, context)


@dataclass(frozen=True)
class _Message:
    """A message in any of its forms: its type, its data, and the fields of the row that has them."""

    kind: str
    data: Mapping[str, Any]
    row: Mapping[str, Any]
    raw: object


def _normal(content: object) -> _Message | None:
    """The message in `content`, None for other values.

    The forms are `message_to_dict`'s `{"type", "data"}`, with a history's row around or beside it, the message's own
    `{"type", "content"}`, and the constructor form of `dumps`.
    """
    if not isinstance(content, dict):
        return None
    kind, data = content.get("type"), content.get("data")
    if _is_kind(kind) and isinstance(data, dict):
        row = {key: value for key, value in content.items() if key not in ("type", "data")}
        return _Message(kind, data, row, content)
    if _is_kind(kind) and "content" in content and "data" not in content:
        return _Message(kind, content, {}, content)
    if kind == "constructor" and isinstance(path := content.get("id"), list) and path and _is_kind(path[-1]):
        kwargs = content.get("kwargs")
        return _Message(path[-1], kwargs, {}, content) if isinstance(kwargs, dict) else None
    return next((_stored(content, *names) for names in ROWS if names[0] in content), None)


def _stored(content: Mapping[str, Any], session: str, name: str) -> _Message | None:
    """The message of a row of an SQL or MongoDB history, which is JSON or its text."""
    stored = content.get(name)
    try:
        message = _normal(json.loads(stored) if isinstance(stored, str) else stored)
    except (ValueError, RecursionError):
        return None
    row = {**without(content, session, name), "session_id": content[session]}
    return None if message is None else _Message(message.kind, message.data, row, content)


def _is_kind(kind: object) -> TypeGuard[str]:
    return isinstance(kind, str) and _kind(kind) in KINDS


def _kind(kind: str) -> str:
    return kind.removesuffix("Chunk").removesuffix("Message").lower()


def _session(value: Value, context: Context) -> str:
    """The file's session; further lists in the file get numbered sessions."""
    numbers: list[int] = []
    in_list = _listed(value.content) is not None
    if value.ordinal and (in_list or value.place.index is not None):
        numbers.append(value.ordinal + 1)
    if in_list and value.place.index is not None:
        numbers.append(value.place.index + 1)
    return "-".join([context.session_id, *map(str, numbers)])


def _message(message: _Message, position: int, session_id: str, place: Place, context: Context) -> Outcome:
    data, row = message.data, message.row
    text, parts = text_of(data.get("content"))
    rest = {key: value for key, value in data.items() if key not in EXCLUDED and (key, value) != ("example", False)}
    if isinstance(stated := row.get("session_id"), str) and stated:
        session_id = stated
    user_id = context.required_user_id()
    if _kind(message.kind) == "remove":
        return _removal(data.get("id"), user_id, session_id, place, message.raw)
    if not text and not parts and not has_content(rest, *INCIDENTAL):
        return Empty(place)
    text = text or _refusal(rest)
    if rest.get("id") == (row.get("message_id") or data.get("id")):
        rest.pop("id", None)
    key = row.get("message_id") or data.get("id") or row.get("id") or position
    values = {
        "id": derived_id(SOURCE, user_id, session_id, key),
        "user_id": user_id,
        "session_id": session_id,
        "item_type": "message",
        "text_content": text or None,
        "metadata": _metadata(message, rest, parts),
    }
    turn = Turn(derived_id(user_id, session_id), position, _stated_time(row) or _stated_time(data))
    stated_fields = frozenset({"text_content", "metadata"})
    return Entry("MemoryItem", values, stated_fields, place, message.raw, turn, repairs=frozenset({"metadata"}))


def _metadata(message: _Message, rest: Mapping[str, Any], parts: Any) -> dict[str, Any]:
    """What is kept of a message besides its text, and of the row around it. `rest` are the message's other fields."""
    data, row = message.data, message.row
    outer = {name: value for name, value in row.items() if name not in ROW_EXCLUDED and name not in rest}
    own = {
        "parts": parts,
        "message_id": row.get("message_id") or data.get("id"),
        "row_id": row.get("id"),
        "type": message.kind if message.kind.endswith("Chunk") else None,
        "source": SOURCE,
        "role": _role(message.kind, data),
        "row": {name: row[name] for name in row.keys() & rest.keys() - ROW_EXCLUDED},
    }
    return merged({**outer, **rest}, own)


def _removal(id: object, user_id: str, session_id: str, place: Place, raw: object) -> Outcome:
    if not id:
        return Reject(place, "A removal must have the id of a message.", raw)
    if id == ALL:
        return Reject(place, ALL_REASON, raw)
    return Removal(derived_id(SOURCE, user_id, session_id, id), place)


def _refusal(data: Mapping[str, Any]) -> str:
    kwargs = data.get("additional_kwargs")
    refusal = kwargs.get("refusal") if isinstance(kwargs, dict) else None
    return refusal if isinstance(refusal, str) else ""


def _role(kind: str, data: Mapping[str, Any]) -> str:
    if isinstance(role := data.get("role"), str) and role:
        return role
    name = _kind(kind)
    return ROLES.get(name, name)


def _stated_time(data: Mapping[str, Any]) -> object:
    """The first valid time, or else the first value of a time's key."""
    values = [value for value in _time_values(data) if value is not None]
    return next((value for value in values if time_of(value)), next(iter(values), None))


def _time_values(data: Mapping[str, Any]) -> Iterator[Any]:
    for holder in (data, *(data.get(name) for name in MAPS)):
        if isinstance(holder, dict):
            yield from (holder.get(name) for name in TIMES)
