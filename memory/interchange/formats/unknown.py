"""Reasons for values in unknown formats, which name what they look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNKNOWN = "Unknown format: {what}. docs/import-export.md lists the formats."
MAX_KEYS = 5
MAX_CHARACTERS = 40


def description_of(content: object) -> str:
    """The reason to reject a value, with its keys or what they suggest."""
    if isinstance(content, list):
        return UNKNOWN.format(what="this is a list without messages")
    if not isinstance(content, dict):
        return UNKNOWN.format(what="this is not an object")
    return UNKNOWN.format(what=next((what for fits, what in LOOKALIKES.items() if fits(content)), _keys(content)))


def _keys(content: Mapping[str, Any]) -> str:
    names = [repr(name[:MAX_CHARACTERS]) for name in content]
    more = ", ..." if len(names) > MAX_KEYS else ""
    return f"this is an object with the keys {', '.join(names[:MAX_KEYS])}{more}" if names else "this object is empty"


def _is_completion(content: Mapping[str, Any]) -> bool:
    kind = content.get("object")
    return "choices" in content or (isinstance(kind, str) and kind.startswith("chat.completion"))


LOOKALIKES: Mapping[Callable[[Mapping[str, Any]], bool], str] = {
    _is_completion: (
        "this looks like an answer of OpenAI's chat completions API without whole messages, such as a stream's"
    ),
    lambda content: content.get("object") == "response": (
        "this looks like an answer of OpenAI's responses API without messages"
    ),
    lambda content: isinstance(content.get("type"), str) and "data" in content: (
        "this looks like an event with `type` and `data`, not a LangChain message"
    ),
    lambda content: isinstance(content.get("model"), str): (
        "this has a `model`, which is not one of memory_export (MemoryItem, AgentData, UserSession)"
    ),
}
