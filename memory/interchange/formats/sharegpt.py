"""ShareGPT: objects whose `conversations` are lists of `{"from": "human", "value": ...}`."""

from __future__ import annotations

from memory.interchange.entries import Context, Outcomes, Reject, Value
from memory.interchange.messages import Conversation, Message, inside, session_of, text_in, text_of, without

SOURCE = "sharegpt"


def recognises(content: object) -> bool:
    """Detect `conversations` with a message that has `from` and `value`."""
    return (
        isinstance(content, dict)
        and isinstance(messages := content.get("conversations"), list)
        and any(map(_is_message, messages))
    )


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session, if the conversation has other fields, and an entry per message."""
    content = value.content
    session_id = text_in(content, "id") or session_of(value, context)
    conversation = Conversation(SOURCE, context.required_user_id(), session_id)
    if about := without(content, "id", "conversations"):
        yield conversation.session(context.time, about, value.place)
    for position, message in enumerate(content["conversations"]):
        place = inside(value.place, position)
        if not _is_message(message):
            yield Reject(place, "This is not a message with `from` and `value`.", message)
            continue
        text, parts = text_of(message["value"])
        metadata = {**without(message, "from", "value"), "parts": parts}
        yield conversation.outcome(Message(position, position, message["from"], text, place, message, None, metadata))


def _is_message(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("from"), str) and "value" in content
