"""Prompts of Google AI Studio, as it saves them in Drive: `chunkedPrompt` with `chunks` of a role and a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory.interchange.entries import Context, Outcomes, Reject, Value, given, has_content
from memory.interchange.messages import Conversation, Message, inside, session_of, start_of, text_in, without

SOURCE = "aistudio"
TIME = "createTime"
# Fields without which a chunk is empty.
INCIDENTAL = ("tokenCount", "finishReason", "isThought", "thoughtSignatures")


def recognises(content: object) -> bool:
    """Detect a `chunkedPrompt` with a list of `chunks`."""
    return isinstance(content, dict) and _chunks(content) is not None


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the session with the run's settings, the system instruction, and an entry per chunk."""
    content, chunks = value.content, _chunks(value.content) or []
    conversation = Conversation(SOURCE, context.required_user_id(), session_of(value, context))
    times = (chunk.get(TIME) for chunk in chunks if isinstance(chunk, dict))
    instruction = content.get("systemInstruction")
    text = _text(instruction) if isinstance(instruction, dict) else None
    if about := _about(content, *(["systemInstruction"] if text else [])):
        yield conversation.session(start_of(times, context), about, value.place)
    if text and isinstance(instruction, dict):
        place = inside(value.place, 0)
        kept = without(instruction, "text", "parts")
        yield conversation.outcome(Message("system", 0, "system", text, place, instruction, metadata=kept))
    for position, chunk in enumerate(chunks):
        place = inside(value.place, position)
        if not isinstance(chunk, dict):
            yield Reject(place, "A chunk must be an object.", chunk)
            continue
        yield conversation.outcome(_message(chunk, position, value))


def _chunks(content: Mapping[str, Any]) -> list[Any] | None:
    prompt = content.get("chunkedPrompt")
    chunks = prompt.get("chunks") if isinstance(prompt, dict) else None
    return chunks if isinstance(chunks, list) else None


def _about(content: Mapping[str, Any], *stored: str) -> dict[str, Any]:
    """The fields of the prompt that are stored in the session: settings, and inputs that were not sent."""
    prompt = without(content["chunkedPrompt"], "chunks")
    if not has_content([without(each, "role") for each in _objects(prompt.get("pendingInputs"))]):
        prompt.pop("pendingInputs", None)
    return given({**without(dict(content), "chunkedPrompt", *stored), "chunkedPrompt": prompt})


def _objects(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _text(value: Mapping[str, Any]) -> str:
    """The text of a chunk or an instruction, or else that of its parts."""
    return text_in(value, "text") or _joined(value.get("parts"))


def _joined(parts: object) -> str:
    return "".join(text for part in _objects(parts) if isinstance(text := part.get("text"), str))


def _message(chunk: Mapping[str, Any], position: int, value: Value) -> Message:
    text = _text(chunk)
    kept = without(dict(chunk), "role", "text", "isThought", TIME)
    if _joined(kept.get("parts")) == text and not has_content(
        [without(part, "text", "thought") for part in _objects(kept.get("parts"))]
    ):
        kept.pop("parts", None)  # the text in the pieces in which it arrived
    thought = bool(chunk.get("isThought"))
    return Message(
        key=position,
        position=position + 1,
        role=chunk.get("role"),
        text="" if thought else text,
        place=inside(value.place, position),
        raw=chunk,
        time=chunk.get(TIME),
        metadata=kept if text or has_content(kept, *INCIDENTAL) else None,
        own={"thinking": text} if thought else {},
    )
