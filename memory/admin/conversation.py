"""A session's conversation, a page at a time: items in the order in which they were said, by day.

Pages are counted from the newest, as the items are indexed; on a page the oldest stands first. Pure, but for the two
functions that ask the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

from django.contrib.admin.utils import quote
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from .. import history
from ..models import MemoryItem, UserSession
from .display import excerpt, formatted_json

ITEMS_ON_A_PAGE = 100
# Characters of one item that the page shows; the item's own page has all of them.
MOST_TEXT = 5_000
MOST_METADATA = 2_000
SIDES = {"user": "user", "human": "user", "assistant": "agent", "ai": "agent", "agent": "agent", "model": "agent"}


@dataclass(frozen=True)
class Turn:
    """One item as the page shows it. `cut` counts the characters that were left out, `side` is user, agent or other."""

    url: str
    time: datetime
    speaker: str
    side: str
    kind: str
    persona: str
    text: str
    cut: int
    metadata: str
    here: bool


@dataclass(frozen=True)
class Day:
    """The turns of one day in the current time zone."""

    date: date
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Conversation:
    """A page of a conversation. `first` and `last` number its items from the oldest, which is 1."""

    days: Sequence[Day]
    page: Page[Any]
    total: int
    first: int
    last: int


def turn(item: MemoryItem, item_id: str = "") -> Turn:
    """An item as the page shows it."""
    text = item.text_content or ""
    rest = {key: value for key, value in item.metadata.items() if key != "role"}
    return Turn(
        url=reverse("admin:memory_memoryitem_change", args=(quote(item.pk),)),
        time=timezone.localtime(item.timestamp),
        speaker=excerpt(item.role, 40) or excerpt(item.item_type, 40),
        side=SIDES.get(item.role.lower(), "other"),
        kind=excerpt(item.item_type, 40) if item.role and item.item_type != "message" else "",
        persona=excerpt(item.persona_active, 40),
        text=text[:MOST_TEXT],
        cut=max(0, len(text) - MOST_TEXT),
        metadata=clip(formatted_json(rest), MOST_METADATA) if rest else "",
        here=item.pk == item_id,
    )


def clip(text: str, length: int) -> str:
    """A text, or its start with an ellipsis."""
    return text if len(text) <= length else f"{text[:length]}…"


def days(turns: Iterable[Turn]) -> list[Day]:
    """Turns in order of time, by day."""
    return [Day(day, tuple(some)) for day, some in groupby(turns, key=lambda turn: turn.time.date())]


def conversation(session: UserSession, number: str | int, item_id: str = "") -> Conversation:
    """The page `number` (1 holds the newest items), or the one that the item is on."""
    items = session.items().defer("embedding")
    paginator = Paginator(items, ITEMS_ON_A_PAGE)
    page = paginator.get_page(page_of(session, item_id) or number)
    # The cache holds the newest items, whole; without one only the columns that the page shows are read.
    cached = page.number == 1 and history.cache_of(session._state.db or "") is not None
    newest_first = history.recent(session.user_id, session.session_id, ITEMS_ON_A_PAGE) if cached else page.object_list
    turns = [turn(item, item_id) for item in reversed(list(newest_first))]
    return Conversation(
        days=days(turns),
        page=page,
        total=paginator.count,
        first=paginator.count - page.end_index() + 1,
        last=paginator.count - page.start_index() + 1,
    )


def page_of(session: UserSession, item_id: str) -> int | None:
    """The number of the page that an item is on; None where the conversation has no such item."""
    item = session.items().filter(pk=item_id).only("timestamp").first() if item_id else None
    if item is None:
        return None
    newer = session.items().filter(Q(timestamp__gt=item.timestamp) | Q(timestamp=item.timestamp, pk__gt=item.pk))
    return newer.count() // ITEMS_ON_A_PAGE + 1
