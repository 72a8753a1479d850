"""Agent files of Letta: `agents` with `messages`, and `blocks` of core memory."""

from __future__ import annotations

from typing import Any

from memory.interchange.entries import Context, Entry, Outcomes, Place, Reject, Value, derived_id, given, merged
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import METADATA, Conversation, Message, session_of, text_in, text_of, without
from memory.interchange.order import original_time

SOURCE = "letta"


def recognises(content: object) -> bool:
    """Detect `agents`, one of which has a list of messages."""
    return (
        isinstance(content, dict)
        and isinstance(agents := content.get("agents"), list)
        and any(isinstance(agent, dict) and isinstance(agent.get("messages"), list) for agent in agents)
    )


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the blocks, and a session per agent with its messages."""
    content, user_id = value.content, context.required_user_id()
    blocks = content.get("blocks")
    for position, block in enumerate(blocks if isinstance(blocks, list) else []):
        yield from _block(block, position, Place(value.place.line, value.place.index, f"block {position}"), context)
    for number, agent in enumerate(content["agents"]):
        place = Place(value.place.line, value.place.index, f"agent {number}")
        if not isinstance(agent, dict) or not isinstance(messages := agent.get("messages"), list):
            yield Reject(place, "An agent must be an object with a list of messages.", agent)
            continue
        named = text_in(agent, "id", "name")
        conversation = Conversation(SOURCE, user_id, named or f"{session_of(value, context)}-agent-{number + 1}")
        times = (parsed_time(message.get("created_at")) for message in messages if isinstance(message, dict))
        start = next(filter(None, times), None) or context.time
        about = {"title": agent.get("name"), **without(agent, "messages", "name")}
        if agent.get("id") == conversation.session_id:
            del about["id"]
        if number == 0:
            about["file"] = given(without(content, "agents", "blocks"))
        yield conversation.session(start, about, place)
        for position, message in enumerate(messages):
            part = Place(place.line, place.index, f"agent {number}, message {position}")
            if isinstance(message, dict):
                yield conversation.outcome(_message(message, position, part))
            else:
                yield Reject(part, "A message must be an object.", message)


def _message(message: dict[str, Any], position: int, place: Place) -> Message:
    text, parts = text_of(message.get("content"))
    details = without(message, "id", "role", "content", "text", "created_at")
    if text and text_in(message, "text") not in (None, text):
        details["text"] = message["text"]
    return Message(
        key=message.get("id") or position,
        position=position,
        role=message.get("role"),
        text=text or text_in(message, "text") or "",
        place=place,
        raw=message,
        time=message.get("created_at"),
        metadata=details,
        id=message.get("id"),
        own={"parts": parts},
    )


def _block(block: object, position: int, place: Place, context: Context) -> Outcomes:
    text = text_in(block, "value") if isinstance(block, dict) else None
    if not isinstance(block, dict) or text is None:
        yield Reject(place, "A block must be an object with a `value`.", block)
        return
    user_id, time = context.required_user_id(), parsed_time(block.get("created_at"))
    values = {
        "id": derived_id(SOURCE, user_id, "block", block.get("id") or block.get("label") or position),
        "user_id": user_id,
        "item_type": "memory",
        "timestamp": time or context.time,
        "text_content": text,
        "metadata": merged(
            without(block, "id", "value", "created_at"),
            {
                **original_time(block.get("created_at"), time or context.time),
                "block_id": block.get("id"),
                "source": SOURCE,
            },
        ),
    }
    yield Entry("MemoryItem", values, frozenset({"text_content", "metadata"}), place, block, repairs=METADATA)
