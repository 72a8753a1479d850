"""What a turn has besides its text: thinking, tool calls and their results, attachments, and its branch. Pure.

Agents and imports keep these in `metadata`, in the forms of the vendors: a list `parts` of blocks with a `type` or one
key, `tool_calls`, `thinking`, `attachments`, `branch`. Unknown parts stay in `rest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

CALL, RESULT = "call", "result"
CALL_TYPES: Final = frozenset(
    {"tool_use", "tool_call", "function_call", "server_tool_use", "mcp_call", "custom_tool_call"}
)
RESULT_TYPES: Final = frozenset(
    {"tool_result", "function_response", "function_call_output", "tool_response", "custom_tool_call_output"}
)
THINKING_TYPES: Final = frozenset({"thinking", "reasoning", "redacted_thinking", "thought"})
FILE_TYPES: Final = frozenset(
    {
        "image",
        "image_url",
        "input_image",
        "file",
        "input_file",
        "document",
        "audio",
        "input_audio",
        "inline_data",
        "file_data",
    }
)
KNOWN: Final = frozenset({"parts", "tool_calls", "function_call", "thinking", "attachments", "files", "branch", "role"})
NAMES: Final = ("name", "file_name", "filename", "title", "uri", "file_uri", "id")
MAX_VALUE: Final = 2_000


@dataclass(frozen=True)
class Call:
    """A call of a tool (`kind` is call) or its result: the tool's name, and arguments or answer as text."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True)
class Extras:
    """The parts of a turn besides its text. `branch`: it is not on the branch that the user saw last."""

    thinking: str
    calls: Sequence[Call]
    attachments: Sequence[str]
    branch: bool
    rest: Mapping[str, Any]


def extras(metadata: Any) -> Extras:
    """The parts in an item's metadata."""
    if not isinstance(metadata, dict):
        return Extras("", (), (), False, {})
    blocks = [*listed(metadata.get("parts")), *listed(metadata.get("attachments")), *listed(metadata.get("files"))]
    typed = [(kind_of(block), block) for block in listed(metadata.get("parts"))]
    thinking = [as_text(metadata.get("thinking"))] if metadata.get("thinking") else []
    thinking += [thought_of(block) for kind, block in typed if kind in THINKING_TYPES]
    calls = [call_of(block) for kind, block in typed if kind in CALL_TYPES]
    calls += [call_of(one) for one in listed(metadata.get("tool_calls"))]
    calls += [call_of(one) for one in (metadata.get("function_call"),) if isinstance(one, dict)]
    results = [result_of(block) for kind, block in typed if kind in RESULT_TYPES]
    files = [*listed(metadata.get("attachments")), *listed(metadata.get("files"))]
    files += [block for kind, block in typed if kind in FILE_TYPES]
    taken = THINKING_TYPES | CALL_TYPES | RESULT_TYPES | FILE_TYPES
    unknown = [block for kind, block in typed if kind not in taken]
    rest = {name: value for name, value in metadata.items() if name not in KNOWN}
    odd = {
        name: metadata[name] for name in KNOWN - {"role", "branch"} if name in metadata and not is_read(name, metadata)
    }
    more = {"parts": unknown} if unknown and blocks else {}
    return Extras(
        thinking="\n\n".join(filter(None, thinking)),
        calls=(*calls, *results),
        attachments=tuple(name_of(one) for one in files),
        branch=bool(metadata.get("branch")),
        rest={**rest, **odd, **more},
    )


def is_read(name: str, metadata: Mapping[str, Any]) -> bool:
    """Whether a known key has a value of the form that is read."""
    value = metadata[name]
    if name == "thinking":
        return True
    return isinstance(value, dict) if name == "function_call" else isinstance(value, list)


def listed(value: Any) -> list[Any]:
    """A list, or nothing."""
    return value if isinstance(value, list) else []


def kind_of(block: Any) -> str:
    """The type of a block, or its only key that names one (`{"function_call": {...}}`)."""
    if not isinstance(block, dict):
        return ""
    if isinstance(block.get("type"), str):
        return str(block["type"])
    known = CALL_TYPES | RESULT_TYPES | THINKING_TYPES | FILE_TYPES
    return next((name for name in block if name in known), "")


def inner(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """The block, or the map under the key that names its type, or under `function`."""
    for name in ("function", kind_of(block)):
        value = block.get(name)
        if isinstance(value, dict):
            return {**block, **value}
    return block


def call_of(block: Any) -> Call:
    """A call of a tool."""
    if not isinstance(block, dict):
        return Call(CALL, "", as_text(block))
    content = inner(block)
    arguments = next((content[name] for name in ("arguments", "args", "input") if name in content), None)
    return Call(CALL, as_text(content.get("name", "")), "" if arguments is None else as_text(arguments))


def result_of(block: Any) -> Call:
    """The result of a tool."""
    content = inner(block) if isinstance(block, dict) else {"content": block}
    answer = next(
        (content[name] for name in ("content", "output", "response", "result", "text") if name in content), None
    )
    name = content.get("name") or content.get("tool_use_id") or content.get("call_id") or ""
    return Call(RESULT, as_text(name), "" if answer is None else as_text(answer))


def thought_of(block: Any) -> str:
    """The text of a block of thinking."""
    if not isinstance(block, dict):
        return as_text(block)
    return next((as_text(block[name]) for name in ("thinking", "text", "summary", "thought") if block.get(name)), "")


def name_of(file: Any) -> str:
    """The name of a file, with its type and size."""
    if not isinstance(file, dict):
        return as_text(file)
    content = inner(file)
    name = next((as_text(content[key]) for key in NAMES if content.get(key)), as_text(content.get("type", "file")))
    details = [as_text(content[key]) for key in ("mime_type", "mimeType", "media_type") if content.get(key)]
    return " · ".join([name[:200], *details])


def as_text(value: Any) -> str:
    """A value as text: JSON of what is no string, the texts of a list of texts; cut at `MAX_VALUE` characters."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in value)
    ):
        value = "\n".join(one["text"] for one in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
