"""Google Takeout's activity of Gemini: a prompt and its answer as HTML in each element, newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from memory.interchange.entries import Context, Entry, Outcomes, Reject, Value, derived_id, merged
from memory.interchange.entries import time_of as parsed_time
from memory.interchange.messages import METADATA, without
from memory.interchange.order import original_time

SOURCE = "gemini"
# The address of a conversation, in the details of its activities.
CONVERSATION = re.compile(r"https://gemini\.google\.com/(?:u/\d+/)?app/([\w-]+)")
PROMPTED = "Prompted "
BLOCKS = frozenset({"p", "br", "div", "li", "tr", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
TICK = timedelta(microseconds=1)


def recognises(content: object) -> bool:
    """Detect an activity with a header, a title and a time."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("title"), str)
        and isinstance(content.get("time"), str)
        and bool(content.keys() & {"header", "products"})
    )


def parse(value: Value, context: Context) -> Outcomes:
    """Yield the prompt, and the answer a microsecond later. The times of the file order them."""
    activity, user_id = value.content, context.required_user_id()
    time = parsed_time(activity["time"])
    if time is None:
        yield Reject(value.place, 'time: must be a time such as "2026-01-31T12:00:00Z".', value.raw)
        return
    title = activity["title"]
    key = derived_id(SOURCE, user_id, activity["time"], title)
    session_id = _conversation(activity.get("details")) or context.session_id
    prompt = _asked(activity.get("subtitles")) or title.removeprefix(PROMPTED)
    answered = activity.get("safeHtmlItem")
    details = {**without(activity, "time", "safeHtmlItem"), **original_time(activity["time"], time)}
    if title == prompt:
        del details["title"]
    yield _entry(value, context, session_id, f"{key}-prompt", "user", prompt, time, details)
    pages = [item.get("html") for item in (answered if isinstance(answered, list) else []) if isinstance(item, dict)]
    answer = "\n".join(filter(None, (plain_text(page) for page in pages if isinstance(page, str))))
    if answer or answered:
        html = {"html": answered} if [{"html": answer}] != answered else {}
        yield _entry(value, context, session_id, f"{key}-answer", "assistant", answer, time + TICK, html)


def _asked(subtitles: object) -> str | None:
    """The prompt in the subtitles, where some exports have it."""
    found = [each for each in subtitles if isinstance(each, dict)] if isinstance(subtitles, list) else []
    asked = (each.get("value") for each in found if each.get("name") == "User")
    return next((text for text in asked if isinstance(text, str) and text), None)


def _conversation(details: object) -> str | None:
    """The id of the only conversation that the details name."""
    urls = [str(each.get("url")) for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    found = {match.group(1) for match in map(CONVERSATION.match, urls) if match}
    return found.pop() if len(found) == 1 else None


def _entry(
    value: Value,
    context: Context,
    session_id: str,
    key: str,
    role: str,
    text: str,
    time: datetime,
    details: Mapping[str, Any],
) -> Entry:
    user_id = context.required_user_id()
    values = {
        "id": derived_id(SOURCE, user_id, key),
        "user_id": user_id,
        "session_id": session_id,
        "item_type": "message",
        "timestamp": time,
        "text_content": text or None,
        "metadata": merged(details, {"role": role, "source": SOURCE}),
    }
    stated = frozenset({"text_content", "metadata", "timestamp"})
    return Entry("MemoryItem", values, stated, value.place, value.raw, repairs=METADATA)


class _Text(HTMLParser):
    """Collects the text of HTML; block elements end lines."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def plain_text(page: str) -> str:
    """The text of HTML, without empty lines."""
    reader = _Text()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.pieces).splitlines())
    return "\n".join(filter(None, lines))
