"""Messages of PydanticAI as JSON, with the role and the text that others read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from memory.adapters.extras import missing

try:
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        UserPromptPart,
    )
except ImportError as error:
    raise missing("pydantic-ai", error) from error

SAID: Final = "user-prompt"
RETURNED: Final = frozenset({"tool-return", "builtin-tool-return", "retry-prompt", "retry-feedback"})
SYSTEM: Final = frozenset({"system", "developer"})
ROLES: Final = frozenset({"user", "assistant", *SYSTEM})
"""Roles of messages that others wrote and that PydanticAI has a form for."""


def form_of(message: ModelMessage) -> dict[str, Any]:
    """The message as JSON."""
    [form] = ModelMessagesTypeAdapter.dump_python([message], mode="json")
    found: dict[str, Any] = form
    return found


def message_of(form: Mapping[str, Any]) -> ModelMessage:
    """The message of its JSON."""
    [message] = ModelMessagesTypeAdapter.validate_json(json.dumps([form]))  # bytes are base64 in JSON only
    return message


def made(role: str, text: str, time: datetime) -> ModelMessage:
    """A message that others wrote."""
    if role == "assistant":
        return ModelResponse(parts=[TextPart(text)], timestamp=time)
    part = SystemPromptPart(text, timestamp=time) if role in SYSTEM else UserPromptPart(text, timestamp=time)
    return ModelRequest(parts=[part], timestamp=time)


def role_of(form: Mapping[str, Any]) -> str:
    """`assistant`, `user`, `tool` for results of tools, or `system`."""
    if form["kind"] == "response":
        return "assistant"
    kinds = {part["part_kind"] for part in form["parts"]}
    return "user" if SAID in kinds else "tool" if kinds & RETURNED else "system"


def text_of(form: Mapping[str, Any]) -> str:
    """What is said: the prompt of a user before other parts of a request, without the model's thoughts."""
    parts = form["parts"]
    if role_of(form) == "user":
        parts = [part for part in parts if part["part_kind"] == SAID]
    return "\n".join(text for part in parts if part["part_kind"] != "thinking" for text in _texts(part.get("content")))


def _texts(content: Any) -> Iterator[str]:
    """The texts of a part, which is one or has several; one that is marked as a text has it as its content."""
    for part in content if isinstance(content, list) else [content]:
        text = part.get("content") if isinstance(part, dict) and part.get("kind") == "text" else part
        if isinstance(text, str) and text:
            yield text
