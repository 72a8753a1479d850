"""OpenAI's messages: chat completions, items of the responses API, and fine-tuning data.

A message is `{"role": ..., "content": ...}`; an item is `{"type": "function_call", ...}` and the like. Messages of an
array or on lines are one conversation; each object with `messages` is a conversation of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Outcome, Outcomes, Place, Reject, Value
from memory.interchange.messages import Conversation, Message, inside, position_of, session_of, text_of, without

SOURCE = "openai"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# Types of items without a role, and the role of each.
ITEMS: Mapping[str, str] = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "file_search_call": "assistant",
    "web_search_call": "assistant",
    "computer_call": "assistant",
    "code_interpreter_call": "assistant",
    "image_generation_call": "assistant",
    "mcp_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
    "computer_call_output": "tool",
}
CONTENT = frozenset({"content", "tool_calls", "function_call", "refusal", "audio"})
TIMES = ("created_at", "timestamp", "created")


def recognises(content: object) -> bool:
    """Detect a message or an item, a list of them, or an object whose `messages` are such a list."""
    if isinstance(content, dict) and isinstance(content.get("messages"), list):
        return any(map(_is_message, content["messages"]))
    return any(map(_is_message, content)) if isinstance(content, list) else _is_message(content)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an entry per message."""
    content = value.content
    if isinstance(content, dict) and "messages" not in content:
        conversation = Conversation(SOURCE, context.required_user_id(), context.session_id)
        yield _outcome(conversation, content, position_of(value), value.place)
        return
    conversation = Conversation(SOURCE, context.required_user_id(), session_of(value, context))
    if isinstance(content, dict) and (about := without(content, "messages")):
        yield conversation.session(context.time, about, value.place)
    messages = content["messages"] if isinstance(content, dict) else content
    for position, message in enumerate(messages):
        place = inside(value.place, position)
        if _is_message(message):
            yield _outcome(conversation, message, position, place)
        else:
            yield Reject(place, "This is not a message with `role` and `content`.", message)


def _is_message(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    role, kind = content.get("role"), content.get("type")
    if isinstance(role, str) and role in ROLES:
        return kind in (None, "message") and not CONTENT.isdisjoint(content)
    return isinstance(kind, str) and kind in ITEMS


def _outcome(conversation: Conversation, content: Mapping[str, Any], position: int, place: Place) -> Outcome:
    kind = content.get("type")
    body = content.get("summary") if kind == "reasoning" else content.get("content", content.get("output"))
    text, parts = text_of(body)
    details = without(content, "role", "content", "output", "summary", "id", *TIMES)
    if kind in ("message", "reasoning"):
        del details["type"]
    metadata = {**details, "parts": parts}
    if kind == "reasoning" and text:
        text, metadata["reasoning"] = "", text
    return conversation.outcome(
        Message(
            key=content.get("id") or position,
            position=position,
            role=content.get("role") or ITEMS.get(str(kind)),
            text=text,
            place=place,
            raw=content,
            time=next((content[name] for name in TIMES if content.get(name)), None),
            metadata=metadata,
        )
    )
