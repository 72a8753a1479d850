"""Sessions of Google's Agent Development Kit: `events` with an author, content parts and a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Outcomes, Reject, Value, given, has_content
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import Conversation, Message, inside, session_of, text_in, without

SOURCE = "adk"
EXCLUDED = ("id", "userId", "user_id", "events")
# Fields without which an event is empty.
INCIDENTAL = ("invocationId", "invocation_id", "partial", "turnComplete", "turn_complete")


def recognises(content: object) -> bool:
    """Detect a session with an app, a user and a list of events."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("events"), list)
        and bool(content.keys() & {"appName", "app_name"})
    )


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session and an entry per event. The user is that of the file, if it names one."""
    content, events = value.content, value.content["events"]
    user_id = text_in(content, "userId", "user_id") or context.required_user_id()
    conversation = Conversation(SOURCE, user_id, text_in(content, "id") or session_of(value, context))
    times = (parsed_time(event.get("timestamp")) for event in events if isinstance(event, dict))
    start = next(filter(None, times), None) or context.time
    yield conversation.session(start, without(content, *EXCLUDED), value.place)
    for position, event in enumerate(events):
        place = inside(value.place, position)
        if not isinstance(event, dict):
            yield Reject(place, "An event must be an object.", event)
            continue
        author = text_in(event, "author")
        text, kept = _content(event.get("content"))
        details = without(event, "id", "author", "timestamp", "content")
        if not text and not kept and not has_content(details, *INCIDENTAL):
            details = {}
        elif author not in (None, "user"):
            kept["name"] = author
        yield conversation.outcome(
            Message(
                key=event.get("id") or position,
                position=position,
                role="user" if author == "user" else "assistant",
                text=text,
                place=place,
                raw=event,
                time=event.get("timestamp"),
                metadata=details,
                id=event.get("id"),
                own=kept,
            )
        )


def _content(content: object) -> tuple[str, dict[str, Any]]:
    """The text, and the thoughts and other parts."""
    parts = content.get("parts") if isinstance(content, dict) else None
    texts: list[str] = []
    thoughts: list[str] = []
    others: list[Any] = []
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, Mapping) and isinstance(text := part.get("text"), str):
            (thoughts if part.get("thought") else texts).append(text)
            if rest := given(without(dict(part), "text", "thought")):
                others.append(rest)
        elif part is not None:
            others.append(part)
    other = without(content, "parts", "role") if isinstance(content, dict) else {}
    return "\n".join(texts), given({"thinking": "\n".join(thoughts), "parts": others, "content": other})
