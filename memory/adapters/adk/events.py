"""Events and contents of ADK as JSON, with the role and the text that others read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memory.adapters.extras import missing

try:
    from google.adk.events.event import Event
    from google.genai.types import Content, Part
except ImportError as error:
    raise missing("adk", error) from error

if TYPE_CHECKING:
    from memory.models import MemoryItem

FRAMEWORK = "adk"


def form_of(event: Event) -> dict[str, Any]:
    """The event as JSON."""
    form: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    return form


def event_of(item: MemoryItem) -> Event | None:
    """The event of an item; None for one that ADK did not write and that has no text or is of a tool."""
    stored = item.metadata.get(FRAMEWORK)
    if isinstance(stored, dict) and isinstance(stored.get("event"), dict):
        return Event.model_validate(stored["event"])
    text, role = item.text_content, item.role
    if not text or role not in ("user", "assistant"):
        return None
    content = Content(role="user" if role == "user" else "model", parts=[Part(text=text)])
    return Event(id=item.pk, author=role, content=content, timestamp=item.timestamp.timestamp())


def text_of(content: Content | None) -> str:
    """What is said, without the model's thoughts."""
    parts = (content.parts if content is not None else None) or []
    return "\n".join(part.text for part in parts if part.text and not part.thought)


def role_of(author: str | None, content: Content | None) -> str:
    """`user`, `tool` for results of tools, or `assistant`."""
    parts = (content.parts if content is not None else None) or []
    if any(part.function_response for part in parts):
        return "tool"
    return "user" if author == "user" else "assistant"
