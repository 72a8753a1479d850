"""Claude's data exports: conversations with `chat_messages`, in a list or a tree of parents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memory.interchange.entries import (
    Context,
    Empty,
    Entry,
    Outcome,
    Outcomes,
    Place,
    Reject,
    Value,
    derived_id,
    given,
    has_content,
    merged,
)
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import METADATA, Conversation, inside, session_of, text_in, text_of, without
from memory.interchange.order import Node, original_time, tree_times

SOURCE = "claude"
ROLES: Mapping[str, str] = {"human": "user"}
# Fields without which a message is empty.
INCIDENTAL = ("parent_message_uuid", "index", "input_mode", "stop_reason", "updated_at")


def recognises(content: object) -> bool:
    """Detect an object with a list of `chat_messages`."""
    return isinstance(content, dict) and isinstance(content.get("chat_messages"), list)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session and an entry per message."""
    content = value.content
    conversation = Conversation(
        SOURCE, context.required_user_id(), text_in(content, "uuid") or session_of(value, context)
    )
    nodes = _nodes(content["chat_messages"])
    known = [node.time for node in nodes.values() if node.time is not None]
    start = parsed_time(content.get("created_at")) or min(known, default=context.time)
    times = tree_times(nodes, start)
    about = without(content, "uuid", "name", "created_at", "chat_messages")
    outcomes = [
        _outcome(conversation, message, times.get(_key(message, position)), position, value.place, timed=bool(known))
        for position, message in enumerate(content["chat_messages"])
    ]
    if any(isinstance(outcome, Entry) for outcome in outcomes):
        yield conversation.session(start, {**about, "title": content.get("name")}, value.place)
    yield from outcomes


def _nodes(messages: list[Any]) -> dict[str, Node]:
    """The messages with their parents; without one that exists, the parent is the preceding message."""
    keys = {_key(message, position) for position, message in enumerate(messages)}
    nodes: dict[str, Node] = {}
    before: str | None = None
    for position, message in enumerate(messages):
        fields = message if isinstance(message, dict) else {}
        stated = text_in(fields, "parent_message_uuid")
        parent = (stated if stated in keys else None) if stated else before
        before = _key(message, position)
        nodes[before] = Node(parent, parsed_time(fields.get("created_at")))
    return nodes


def _key(message: object, position: int) -> str:
    found = text_in(message, "uuid") if isinstance(message, dict) else None
    return found or str(position)


def _outcome(
    conversation: Conversation, message: object, time: datetime | None, position: int, place: Place, *, timed: bool
) -> Outcome:
    place = inside(place, position)
    if not isinstance(message, dict) or time is None:
        return Reject(place, "A message must be an object.", message)
    text, parts = text_of(message.get("content"))
    plain = text_in(message, "text") or ""
    if not text and not parts:
        text = plain
    kept = without(message, "uuid", "text", "content", "sender", "created_at")
    if plain not in ("", text):
        kept["text"] = plain
    if not text and not parts and not has_content(kept, *INCIDENTAL):
        return Empty(place)
    key, sender = _key(message, position), text_in(message, "sender")
    values = {
        "id": derived_id(SOURCE, conversation.user_id, conversation.session_id, key),
        "user_id": conversation.user_id,
        "session_id": conversation.session_id,
        "item_type": "message",
        "timestamp": time,
        "text_content": text or None,
        "metadata": merged(
            kept,
            {
                "parts": parts,
                **given({"message_id": text_in(message, "uuid"), "role": sender and ROLES.get(sender, sender)}),
                **original_time(message.get("created_at"), time),
                "source": SOURCE,
            },
        ),
    }
    stated = {"text_content", "metadata", *(("timestamp",) if parsed_time(message.get("created_at")) else ())}
    repairs = METADATA | {"timestamp"} if timed else METADATA
    return Entry("MemoryItem", values, frozenset(stated), place, message, repairs=repairs)
