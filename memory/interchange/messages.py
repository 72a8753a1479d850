"""Messages of conversations in list form, and functions that their formats share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .entries import Context, Empty, Entry, Outcome, Place, Turn, Value, derived_id, given, has_content, merged, time_of

METADATA = frozenset({"metadata"})
ROLES: Mapping[str, str] = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant"}
# Roles that are known from the import's own.
PLAIN_ROLES = frozenset({"human", "gpt"})
TYPES = ("text", "input_text", "output_text", "summary_text")


@dataclass(frozen=True)
class Message:
    """A message: `key` identifies it in its conversation, `time` is the value in the file or None.

    `id` is its id in the file; `metadata` are its other fields, and `own` the metadata that the import makes.
    """

    key: object
    position: int
    role: object
    text: str
    place: Place
    raw: object
    time: object = None
    metadata: Mapping[str, Any] | None = None
    id: object = None
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """A conversation of one user. `source` names the format."""

    source: str
    user_id: str
    session_id: str

    def outcome(self, message: Message) -> Outcome:
        """The item of the message; empty if it has neither text nor metadata."""
        if not message.text and not has_content([message.metadata or {}, dict(message.own)]):
            return Empty(message.place)
        role = message.role if isinstance(message.role, str) else None
        own = {
            **message.own,
            "role": role and ROLES.get(role, role),
            "stated_role": role if role in ROLES and role not in PLAIN_ROLES else None,
            "message_id": message.id,
            "source": self.source,
        }
        values = {
            "id": derived_id(self.source, self.user_id, self.session_id, message.key),
            "user_id": self.user_id,
            "session_id": self.session_id,
            "item_type": "message",
            "text_content": message.text or None,
            "metadata": merged(message.metadata or {}, own),
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
            "metadata": merged(metadata, {"source": self.source}),
        }
        return Entry("UserSession", values, METADATA, place, given(metadata), repairs=METADATA)


def start_of(times: Iterable[object], context: Context) -> datetime:
    """The earliest of the messages' times as they are stated; the file's time if none is known."""
    return min((time for time in map(time_of, times) if time is not None), default=context.time)


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
        elif isinstance(part, dict) and (found := _text_part(part)) is not None:
            texts.append(found[0])
            others += found[1]
        elif part is not None:
            others.append(part)
    return "\n".join(filter(None, texts)), others


def _text_part(part: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """The text of a part and its other fields, if it has any; None for other parts."""
    kind = part.get("type")
    name = "refusal" if kind == "refusal" else "text"
    text = part.get(name)
    if kind not in (*TYPES, "refusal"):
        return None
    inner: dict[str, Any] = {}
    if isinstance(text, dict) and isinstance(text.get("value"), str):  # OpenAI's Assistants API
        text, inner = text["value"], without(text, "value")
    if not isinstance(text, str):
        return None
    rest = given({**without(part, "type", name), **inner})
    return text, [{"type": kind, **rest}] if rest or kind == "refusal" else []


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The values except for these."""
    return {name: value for name, value in values.items() if name not in names}


def text_in(values: Mapping[str, Any], *names: str) -> str | None:
    """The first of these values that is a text and not empty."""
    return next((value for name in names if isinstance(value := values.get(name), str) and value), None)
