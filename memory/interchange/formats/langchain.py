"""LangChain messages as written by `messages_to_dict` and chat message histories.

`{"type": "human", "data": {"content": ...}}`, alone or in lists; a list is a conversation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memory.interchange.entries import (
    Context,
    Empty,
    Entry,
    Outcome,
    Outcomes,
    Place,
    Reject,
    Turn,
    Value,
    derived_id,
    given,
    time_of,
)

SOURCE = "langchain"
ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant"}
CHUNK = "MessageChunk"
# Keys of a message's time, in the message or in one of these maps.
TIMES = ("timestamp", "created_at")
MAPS = ("additional_kwargs", "response_metadata")
# Irrelevant outside of LangChain, or stored elsewhere.
EXCLUDED = frozenset({"content", "type", "example"})


def recognises(content: object) -> bool:
    """Detect a message, or a list that contains one."""
    if isinstance(content, list):
        return any(_is_message(member) for member in content)
    return _is_message(content)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an entry per message."""
    session_id, place = _session(value, context), value.place
    if not isinstance(value.content, list):
        position = value.ordinal if place.index is None else place.index
        yield _message(value.content, position, session_id, place, context)
        return
    for position, member in enumerate(value.content):
        inside = Place(place.line, place.index, f"message {position}")
        if _is_message(member):
            yield _message(member, position, session_id, inside, context)
        else:
            yield Reject(inside, "This is not a LangChain message with `type` and `data`.", member)


def _is_message(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("type"), str) and isinstance(content.get("data"), dict)


def _session(value: Value, context: Context) -> str:
    """The file's session; further lists in the file get numbered sessions."""
    numbers: list[int] = []
    in_list = isinstance(value.content, list)
    if value.ordinal and (in_list or value.place.index is not None):
        numbers.append(value.ordinal + 1)
    if in_list and value.place.index is not None:
        numbers.append(value.place.index + 1)
    return "-".join([context.session_id, *map(str, numbers)])


def _message(content: Mapping[str, Any], position: int, session_id: str, place: Place, context: Context) -> Outcome:
    data = content["data"]
    text, parts = _content(data.get("content"))
    rest = given({key: value for key, value in data.items() if key not in EXCLUDED})
    if not text and not parts and not rest.keys() - {"response_metadata", "id", "name"}:
        return Empty(place)
    user_id, key = context.required_user_id(), data.get("id") or position
    values = {
        "id": derived_id(SOURCE, user_id, session_id, key),
        "user_id": user_id,
        "session_id": session_id,
        "item_type": "message",
        "text_content": text or None,
        "metadata": {
            **_named(rest),
            **given({"parts": parts}),
            "source": SOURCE,
            "role": _role(content["type"], data),
        },
    }
    turn = Turn(derived_id(user_id, session_id), position, _stated_time(data))
    stated = frozenset({"text_content", "metadata"})
    return Entry("MemoryItem", values, stated, place, content, turn, repairs=frozenset({"metadata"}))


def _named(rest: Mapping[str, Any]) -> dict[str, Any]:
    return {"message_id" if key == "id" else key: value for key, value in rest.items() if key != "role"}


def _role(kind: str, data: Mapping[str, Any]) -> str:
    if isinstance(role := data.get("role"), str) and role:
        return role
    name = kind.removesuffix(CHUNK).lower()
    return ROLES.get(name, name)


def _content(content: object) -> tuple[str, list[Any]]:
    """The text, and the other parts."""
    if isinstance(content, str):
        return content, []
    parts = content if isinstance(content, list) else [content]
    texts, others = [], []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part
        if isinstance(text, str):
            texts.append(text)
        elif part is not None:
            others.append(part)
    return "\n".join(texts), others


def _stated_time(data: Mapping[str, Any]) -> object:
    """The first valid time, or else the first value of a time's key."""
    values = [value for value in _time_values(data) if value is not None]
    return next((value for value in values if time_of(value)), next(iter(values), None))


def _time_values(data: Mapping[str, Any]) -> Iterator[Any]:
    for holder in (data, *(data.get(name) for name in MAPS)):
        if isinstance(holder, dict):
            yield from (holder.get(name) for name in TIMES)
