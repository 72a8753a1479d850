"""Anthropic's messages: an answer of the API, a request with a `system` prompt and `messages`, or a batch of either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Outcomes, Reject, Value, given
from memory.interchange.messages import (
    Conversation,
    Message,
    inside,
    position_of,
    session_of,
    text_of,
    without,
)

SOURCE = "anthropic"
BLOCKS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking"})


def recognises(content: object) -> bool:
    """Detect an answer with `stop_reason`, or `messages` with a `system` prompt or blocks of Anthropic's."""
    if not isinstance(content, dict):
        return False
    if (batched := _batched(content)) is not None:
        content = batched
    if content.get("type") == "message" and "role" in content and isinstance(content.get("content"), list):
        return "stop_reason" in content or _has_blocks(content)
    messages = content.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return False
    return bool(messages) and (batched is not None or "system" in content or any(map(_has_blocks, messages)))


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an entry per message; the system prompt is the first."""
    content, user_id = value.content, context.required_user_id()
    batch_session = None
    if (batched := _batched(content)) is not None:
        batch_session = f"{context.session_id}-{content['custom_id']}"
        content = {**batched, "custom_id": content["custom_id"]}
    if "messages" not in content:
        conversation = Conversation(SOURCE, user_id, batch_session or context.session_id)
        yield conversation.outcome(_message(content, position_of(value), value))
        return
    conversation = Conversation(SOURCE, user_id, batch_session or session_of(value, context))
    if about := given(without(content, "messages", "system")):
        yield conversation.session(context.time, about, value.place)
    system = [{"role": "system", "content": content["system"]}] if content.get("system") else []
    for position, message in enumerate([*system, *content["messages"]]):
        if isinstance(message.get("role"), str):
            yield conversation.outcome(_message(message, position, value, within=True))
        else:
            yield Reject(inside(value.place, position), "This is not a message with `role` and `content`.", message)


def _batched(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request in a line of a batch, or the answer in a line of its results."""
    if not isinstance(content.get("custom_id"), str):
        return None
    result = content.get("result")
    found = result.get("message") if isinstance(result, dict) else content.get("params")
    return found if isinstance(found, dict) else None


def _has_blocks(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(
        isinstance(block, dict) and isinstance(kind := block.get("type"), str) and kind in BLOCKS for block in content
    )


def _message(content: Mapping[str, Any], position: int, value: Value, *, within: bool = False) -> Message:
    text, parts = text_of(content.get("content"))
    return Message(
        key=content.get("id") or position,
        position=position,
        role=content.get("role"),
        text=text,
        place=inside(value.place, position) if within else value.place,
        raw=content,
        time=content.get("created_at"),
        metadata=without(content, "type", "role", "content", "id", "created_at") if text or parts else None,
        id=content.get("id"),
        own={"parts": parts},
    )
