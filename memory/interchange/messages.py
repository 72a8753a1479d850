"""Messages of conversations in list form, and functions that their formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .entries import Context, Empty, Entry, Outcome, Place, Turn, Value, derived_id, given

METADATA = frozenset({"metadata"})
ROLES: Mapping[str, str] = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"}
TYPES = ("text", "input_text", "output_text", "summary_text")


@dataclass(frozen=True)
class Message:
    """A message: `key` identifies it in its conversation, `time` is the value in the file or None."""

    key: object
    position: int
    role: object
    text: str
    place: Place
    raw: object
    time: object = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Conversation:
    """A conversation of one user. `source` names the format."""

    source: str
    user_id: str
    session_id: str

    def outcome(self, message: Message) -> Outcome:
        """The item of the message; empty if it has neither text nor metadata."""
        metadata = given(message.metadata or {})
        if not message.text and not metadata:
            return Empty(message.place)
        role = message.role if isinstance(message.role, str) else None
        values = {
            "id": derived_id(self.source, self.user_id, self.session_id, message.key),
            "user_id": self.user_id,
            "session_id": self.session_id,
            "item_type": "message",
            "text_content": message.text or None,
            "metadata": {**metadata, **given({"role": role and ROLES.get(role, role)}), "source": self.source},
        }
        turn = Turn(derived_id(self.user_id, self.session_id), message.position, message.time)
        return Entry(
            "MemoryItem",
            values,
            frozenset({"text_content", "metadata"}),
            message.place,
            message.raw,
            turn,
            repairs=METADATA,
        )

    def session(self, start: datetime, metadata: Mapping[str, Any], place: Place) -> Entry:
        """The session with its metadata; the times of its messages widen it."""
        values = {
            "user_id": self.user_id,
            "session_id": self.session_id,
            "started_at": start,
            "last_activity": start,
            "metadata": {**given(metadata), "source": self.source},
        }
        return Entry("UserSession", values, METADATA, place, given(metadata), repairs=METADATA)


def session_of(value: Value, context: Context) -> str:
    """The session of a conversation without an id: the file's; further ones in the file get numbers."""
    number = value.ordinal if value.place.index is None else value.place.index
    return f"{context.session_id}-{number + 1}" if number else context.session_id


def position_of(value: Value) -> int:
    """The position of a message that is a value by itself."""
    return value.ordinal if value.place.index is None else value.place.index


def inside(place: Place, position: int) -> Place:
    """The place of a message in a value."""
    return Place(place.line, place.index, f"message {position}")


def text_of(content: object) -> tuple[str, list[Any]]:
    """The text of a message's content, a string or a list of parts, and the parts that are not text."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    others: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in TYPES and isinstance(part.get("text"), str):
            texts.append(part["text"])
            if rest := given({key: value for key, value in part.items() if key not in ("type", "text")}):
                others.append({"type": part["type"], **rest})
        elif part is not None:
            others.append(part)
    return "\n".join(filter(None, texts)), others


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The values except for these."""
    return {name: value for name, value in values.items() if name not in names}


def text_in(values: Mapping[str, Any], *names: str) -> str | None:
    """The first of these values that is a text and not empty."""
    return next((value for name in names if isinstance(value := values.get(name), str) and value), None)
