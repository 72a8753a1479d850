"""The conversation page of a session: its items in chronological order, grouped by day.

Page 1 has the newest items, as the index orders them; within a page the oldest is first. Only `conversation` and
`page_of` query the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import groupby
from typing import Any

from django.contrib.admin.utils import quote
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from .. import history
from ..models import MemoryItem, UserSession
from .display import clip, excerpt, formatted_json
from .index_states import INDEXED, states_of
from .turn_parts import Extras, extras

ITEMS_PER_PAGE = 100
# Characters of one item on the page; the item's change page has all of them.
MAX_TEXT = 5_000
MAX_METADATA = 2_000
SIDES = {"user": "user", "human": "user", "assistant": "agent", "ai": "agent", "agent": "agent", "model": "agent"}


@dataclass(frozen=True)
class Turn:
    """One item on the page. `cut` is the number of omitted characters; `side` is user, agent or other."""

    url: str
    time: datetime
    speaker: str
    side: str
    kind: str
    persona: str
    text: str
    cut: int
    metadata: str
    is_target: bool
    extras: Extras
    state: str


@dataclass(frozen=True)
class Day:
    """The turns of one day in the current time zone."""

    date: date
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Conversation:
    """One page of a conversation. `first` and `last` are positions counted from the oldest item, 1."""

    days: Sequence[Day]
    page: Page[Any]
    total: int
    first: int
    last: int
    indexed: int
    day: str = ""

    @property
    def shown(self) -> int:
        """The number of turns on the page."""
        return self.last - self.first + 1 if self.total else 0


def turn(item: MemoryItem, item_id: str = "", state: str = "") -> Turn:
    """Convert an item for the page."""
    text = item.text_content or ""
    parts = extras(item.metadata)
    rest = parts.rest
    return Turn(
        url=reverse("admin:memory_memoryitem_change", args=(quote(item.pk),)),
        time=timezone.localtime(item.timestamp),
        speaker=excerpt(item.role, 40) or excerpt(item.item_type, 40),
        side=SIDES.get(item.role.lower(), "other"),
        kind=excerpt(item.item_type, 40) if item.role and item.item_type != "message" else "",
        persona=excerpt(item.persona_active, 40),
        text=text[:MAX_TEXT],
        cut=max(0, len(text) - MAX_TEXT),
        metadata=clip(formatted_json(rest), MAX_METADATA) if rest else "",
        is_target=item.pk == item_id,
        extras=parts,
        state=state,
    )


def days(turns: Iterable[Turn]) -> list[Day]:
    """Group chronological turns by day."""
    return [Day(day, tuple(group)) for day, group in groupby(turns, key=lambda turn: turn.time.date())]


def conversation(session: UserSession, number: str | int, item_id: str = "", day: str = "") -> Conversation:
    """The page `number` (1 has the newest items), that of the item `item_id`, or of the first one from a day on."""
    items = session.items().defer("embedding")
    paginator = Paginator(items, ITEMS_PER_PAGE)
    page = paginator.get_page(page_of(session, item_id) or page_of_day(session, day) or number)
    # The cache holds complete items, the newest ones; without a cache, large columns are not read.
    cached = page.number == 1 and history.cache_of(session._state.db or "") is not None
    newest_first: Any = page.object_list
    if cached:
        newest_first = history.recent(session.user_id, session.session_id, ITEMS_PER_PAGE, superseded=True)
    shown = list(reversed(list(newest_first)))
    states = states_of(shown, session.user_id, session._state.db)
    turns = [turn(item, item_id, states[item.pk]) for item in shown]
    return Conversation(
        days=days(turns),
        page=page,
        total=paginator.count,
        first=paginator.count - page.end_index() + 1,
        last=paginator.count - page.start_index() + 1,
        indexed=sum(state == INDEXED for state in states.values()),
        day=day,
    )


def page_of_day(session: UserSession, day: str) -> int | None:
    """The number of the page with the first item from a day (`2026-03-01`) on; None for another text."""
    try:
        start = datetime.combine(date.fromisoformat(day), time(), timezone.get_current_timezone())
    except ValueError:
        return None
    later = session.items().filter(timestamp__gte=start).count()
    return max(1, -(-later // ITEMS_PER_PAGE))


def page_of(session: UserSession, item_id: str) -> int | None:
    """The number of the page with the item, or None if the session has no such item."""
    item = session.items().filter(pk=item_id).only("timestamp").first() if item_id else None
    if item is None:
        return None
    newer = session.items().filter(Q(timestamp__gt=item.timestamp) | Q(timestamp=item.timestamp, pk__gt=item.pk))
    return newer.count() // ITEMS_PER_PAGE + 1
