"""ShareGPT: objects whose `conversations` are lists of `{"from": "human", "value": ...}`.

Data sets vary: the list is also called `items` or `conversation`, and messages have `role` and `content`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Outcomes, Reject, Value
from memory.interchange.messages import Conversation, Message, inside, session_of, text_in, text_of, without

SOURCE = "sharegpt"


LISTS = ("conversations", "conversation", "items")
FORMS = (("from", "value"), ("role", "content"))


def recognises(content: object) -> bool:
    """Detect `conversations` with a message that has `from` and `value`."""
    return isinstance(content, dict) and _list_of(content) is not None


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session, if the conversation has other fields, and an entry per message."""
    content = value.content
    session_id = text_in(content, "id") or session_of(value, context)
    conversation = Conversation(SOURCE, context.required_user_id(), session_id)
    name = _list_of(content) or LISTS[0]
    if about := without(content, name, *(["id"] if content.get("id") == session_id else [])):
        yield conversation.session(context.time, about, value.place)
    for position, message in enumerate(content[name]):
        place = inside(value.place, position)
        form = _form(message)
        if form is None:
            yield Reject(place, "This is not a message with `from` and `value`.", message)
            continue
        who, said = form
        text, parts = text_of(message[said])
        others = without(message, who, said)
        said_here = Message(
            position, position, message[who], text, place, message, metadata=others, own={"parts": parts}
        )
        yield conversation.outcome(said_here)


def _list_of(content: Mapping[str, Any]) -> str | None:
    """The key of the list of messages."""
    lists = (name for name in LISTS if isinstance(content.get(name), list))
    return next((name for name in lists if any(_form(message) is not None for message in content[name])), None)


def _form(content: object) -> tuple[str, str] | None:
    """The keys of the speaker and the text of a message; None for other values."""
    if not isinstance(content, dict):
        return None
    return next((form for form in FORMS if isinstance(content.get(form[0]), str) and form[1] in content), None)
