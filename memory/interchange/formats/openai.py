"""OpenAI's messages: requests and answers of its APIs, batches of them, threads, and fine-tuning data.

A message is `{"role": ..., "content": ...}`; an item is `{"type": "function_call", ...}` and the like. Messages and
answers in an array or on lines are one conversation; each object with `messages` or `input` is one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memory.interchange.entries import Context, Outcome, Outcomes, Place, Reject, Value, given, time_of
from memory.interchange.messages import (
    Conversation,
    Message,
    inside,
    position_of,
    session_of,
    start_of,
    text_in,
    text_of,
    without,
)

SOURCE = "openai"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# Types of items without a role, and the role of each.
ITEMS: Mapping[str, str] = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "file_search_call": "assistant",
    "web_search_call": "assistant",
    "computer_call": "assistant",
    "code_interpreter_call": "assistant",
    "image_generation_call": "assistant",
    "mcp_call": "assistant",
    "local_shell_call": "assistant",
    "mcp_list_tools": "assistant",
    "mcp_approval_request": "assistant",
    "mcp_approval_response": "user",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
    "computer_call_output": "tool",
    "local_shell_call_output": "tool",
}
CONTENT = frozenset({"content", "tool_calls", "function_call", "refusal", "audio"})
TIMES = ("created_at", "timestamp", "created")
NO_MESSAGE = "This is not a message with `role` and `content`."


@dataclass(frozen=True)
class Said:
    """A message or item, and fields of the object around it."""

    content: Any
    around: Mapping[str, Any] = field(default_factory=dict)
    time: object = None


@dataclass(frozen=True)
class Talk:
    """The messages of an object. `is_part`: they belong to the file's session; `about` describes the session.

    `session_id` is the id in the file, `suffix` one that is unique in the file.
    """

    said: Sequence[Said]
    about: Mapping[str, Any] = field(default_factory=dict)
    is_part: bool = False
    session_id: str | None = None
    suffix: str | None = None


def recognises(content: object) -> bool:
    """Detect a message or an item, a list of them, or an object with such a list."""
    return any(_is_message(said.content) for said in talk_of(content).said)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield an entry per message."""
    talk = talk_of(value.content)
    session_id = talk.session_id or (context.session_id if talk.is_part else session_of(value, context))
    if talk.suffix:
        session_id = f"{context.session_id}-{talk.suffix}"
    conversation = Conversation(SOURCE, context.required_user_id(), session_id)
    if about := given(talk.about):
        yield conversation.session(start_of(map(_stated_time, talk.said), context), about, value.place)
    is_alone = not isinstance(value.content, list) and talk.is_part and len(talk.said) == 1
    for number, said in enumerate(talk.said):
        position = position_of(value) if is_alone else number
        place = value.place if is_alone else inside(value.place, number)
        if talk.is_part and not is_alone:  # several messages of an answer, at one position of the file
            position = position_of(value)
        key = (position, number) if talk.is_part and not is_alone else position
        if _is_message(said.content):
            yield _outcome(conversation, said, key, position, place)
        else:
            yield Reject(place, NO_MESSAGE, said.content)


def talk_of(content: object) -> Talk:
    """The messages of a value; none for other values."""
    if isinstance(content, list):
        return Talk([Said(member) for member in content])
    if not isinstance(content, dict):
        return Talk([])
    for name, view in VIEWS.items():
        if isinstance(found := content.get(name), dict | list) and (talk := view(content, found)) is not None:
            return talk
    return Talk([Said(content)], is_part=True)


def _request(content: Mapping[str, Any], messages: Any) -> Talk | None:
    """`messages` of a request of chat completions, or of fine-tuning data."""
    return Talk([Said(each) for each in messages], without(content, "messages")) if isinstance(messages, list) else None


def _choices(content: Mapping[str, Any], choices: Any) -> Talk | None:
    """An answer of chat completions. Choices after the first are branches."""
    answers = [choice for choice in choices if isinstance(choice, dict) and isinstance(choice.get("message"), dict)]
    if not answers or len(answers) < len(choices):
        return None
    about = without(content, "choices", "created")
    said = [
        Said(
            {**choice["message"], **given({"id": choice["message"].get("id") or _numbered(content.get("id"), number)})},
            {**without(choice, "message"), **({"completion": about} if number == 0 else {"branch": True})},
            content.get("created"),
        )
        for number, choice in enumerate(answers)
    ]
    return Talk(said, is_part=True)


def _numbered(id: object, number: int) -> object:
    return f"{id}-{number}" if isinstance(id, str) and number else id


def _answer(content: Mapping[str, Any], output: Any) -> Talk | None:
    """An answer of the responses API: its output's items."""
    if content.get("object") != "response" or not isinstance(output, list):
        return None
    said = [Said(item, time=content.get("created_at")) for item in output]
    if said:
        said[0] = replace(said[0], around={"response": without(content, "output", "created_at")})
    return Talk(said, is_part=True)


def _input(content: Mapping[str, Any], found: Any) -> Talk | None:
    """A request of the responses API, or an example of preference data."""
    if isinstance(found, dict):
        if not isinstance(found.get("messages"), list):
            return None
        said = [Said(each) for each in found["messages"]]
        for name in PREFERENCES:
            around = {"branch": True} if name != PREFERENCES[0] else {}
            said += [Said(each, around) for each in content.get(name) or []]
        about = {**without(content, "input", *PREFERENCES), **without(found, "messages")}
        return Talk(said, about)
    first = [Said({"role": "system", "content": content["instructions"]})] if content.get("instructions") else []
    return Talk([*first, *(Said(each) for each in found)], without(content, "input", "instructions"))


def _batch_request(content: Mapping[str, Any], body: Any) -> Talk | None:
    """A line of a batch's input file."""
    return _of_batch(content, body, without(content, "body"))


def _batch_answer(content: Mapping[str, Any], response: Any) -> Talk | None:
    """A line of a batch's output file."""
    body = response.get("body") if isinstance(response, dict) else None
    return _of_batch(content, body, {**without(content, "response"), "response": without(response, "body")})


def _of_batch(content: Mapping[str, Any], body: Any, about: Mapping[str, Any]) -> Talk | None:
    if not isinstance(body, dict) or not isinstance(custom_id := content.get("custom_id"), str):
        return None
    talk = talk_of(body)
    return replace(talk, about={**talk.about, **about}, is_part=False, suffix=custom_id)


def _thread(content: Mapping[str, Any], data: Any) -> Talk | None:
    """A page of a thread's messages, newest first, or of a conversation's items."""
    if content.get("object") != "list" or not isinstance(data, list):
        return None
    times = [time_of(each.get("created_at")) for each in data if isinstance(each, dict)]
    known = [time for time in times if time is not None]
    ordered = data[::-1] if known != sorted(known) else data
    threads = {each.get("thread_id") for each in data if isinstance(each, dict)}
    thread = threads.pop() if len(threads) == 1 else None
    about = without(content, "object", "data", "first_id", "last_id")
    return Talk([Said(each) for each in ordered], about, session_id=thread if isinstance(thread, str) else None)


PREFERENCES = ("preferred_output", "non_preferred_output")
# By the key that has the messages.
VIEWS: Mapping[str, Callable[[Mapping[str, Any], Any], Talk | None]] = {
    "messages": _request,
    "choices": _choices,
    "output": _answer,
    "input": _input,
    "body": _batch_request,
    "response": _batch_answer,
    "data": _thread,
}


def _is_message(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    role, kind = content.get("role"), content.get("type")
    if isinstance(role, str) and role in ROLES:
        return kind in (None, "message") and not CONTENT.isdisjoint(content)
    return isinstance(kind, str) and kind in ITEMS


def _transcript(content: Mapping[str, Any]) -> str | None:
    return text_in(audio, "transcript") if isinstance(audio := content.get("audio"), dict) else None


def _time_key(content: Mapping[str, Any]) -> str | None:
    return next((time for time in TIMES if content.get(time)), None)


def _stated_time(said: Said) -> object:
    key = _time_key(said.content) if isinstance(said.content, dict) else None
    return said.content[key] if key else said.time


def _outcome(conversation: Conversation, said: Said, key: object, position: int, place: Place) -> Outcome:
    content = said.content
    kind = content.get("type")
    is_reasoning = kind == "reasoning"
    name = "summary" if is_reasoning else "content" if "content" in content else "output"
    text, parts = text_of(content.get(name))
    time = _time_key(content)
    details = without(content, "role", name, "id", *([time] if time else []))
    if kind in ("message", "reasoning"):
        del details["type"]
    own = {**said.around, "parts": parts}
    if is_reasoning and text:
        text, own["reasoning"] = "", text
    return conversation.outcome(
        Message(
            key=content.get("id") or key,
            position=position,
            role=content.get("role") or ITEMS.get(str(kind)),
            text=text or text_in(content, "refusal") or _transcript(content) or "",
            place=place,
            raw=content,
            time=_stated_time(said),
            metadata=details,
            id=content.get("id"),
            own=own,
        )
    )
