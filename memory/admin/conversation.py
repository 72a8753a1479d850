"""The conversation page of a session: its items in chronological order, grouped by day.

The page without parameters has the newest items, and within a page the oldest is first. Pages follow each other by the
time and id of their items (keyset), so that each costs the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from .. import history
from ..models import MemoryItem, UserSession
from .display import clip, excerpt, formatted_json
from .figures import Count, Countable, counts_of
from .filters import start_of
from .index_states import INDEXED, states_of
from .turn_parts import Extras, extras

ITEMS_PER_PAGE: Final = 100
MOST_COUNTED: Final = 10_000
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
    is_valid: bool


@dataclass(frozen=True)
class Day:
    """The turns of one day in the current time zone."""

    date: date
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Cursor:
    """The place of an item in the order of its conversation. As text: `2026-03-01T12:00:00+00:00,ID`."""

    time: datetime
    id: str

    def __str__(self) -> str:
        return f"{self.time.isoformat()},{self.id}"

    @classmethod
    def of(cls, item: MemoryItem) -> Cursor:
        """The place of an item."""
        return cls(item.timestamp.astimezone(UTC), item.pk)

    @classmethod
    def parsed(cls, text: str) -> Cursor | None:
        """The cursor of a text, or None if the text is none."""
        time, _, id = text.partition(",")
        try:
            moment = datetime.fromisoformat(time).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return cls(moment, id) if id and "\0" not in id else None


@dataclass(frozen=True)
class Place:
    """What a page shows: an item, items from a day on, before or after a cursor, the oldest, or else the newest."""

    item: str = ""
    day: str = ""
    before: Cursor | None = None
    after: Cursor | None = None
    is_oldest: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Place:
        """The place that the parameters of a request name."""
        cursors = {name: Cursor.parsed(parameters.get(name, "")) for name in ("before", "after")}
        return cls(parameters.get("item", ""), parameters.get("day", ""), **cursors, is_oldest="oldest" in parameters)


@dataclass(frozen=True)
class Window:
    """The items of a page, oldest first, and whether there are others."""

    items: Sequence[MemoryItem]
    has_older: bool
    has_newer: bool


@dataclass(frozen=True)
class Conversation:
    """One page of a conversation. `older` and `newer` are the cursors from which the next pages go on."""

    days: Sequence[Day]
    total: Count
    indexed: int
    older: Cursor | None
    newer: Cursor | None
    shown: int
    day: str = ""

    @property
    def pages(self) -> Mapping[str, str]:
        """The query strings of the other pages by name."""
        links: list[tuple[str, dict[str, Any], Cursor | None]] = [
            ("oldest", {"oldest": ""}, self.older),
            ("older", {"before": self.older}, self.older),
            ("newer", {"after": self.newer}, self.newer),
            ("newest", {}, self.newer),
        ]
        return {name: f"?{urlencode(parameters)}" for name, parameters, cursor in links if cursor is not None}


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
        is_valid=item.is_valid(),
    )


def days(turns: Iterable[Turn]) -> list[Day]:
    """Group chronological turns by day."""
    return [Day(day, tuple(group)) for day, group in groupby(turns, key=lambda turn: turn.time.date())]


def conversation(session: UserSession, place: Place) -> Conversation:
    """The page at a place. It reads at most two items more than it shows, however long the conversation is."""
    window = window_at(session, place)
    states = states_of(window.items, session.user_id, session._state.db)
    counted = Countable(session.items(), "timestamp", MOST_COUNTED)
    return Conversation(
        days=days(turn(item, place.item, states[item.pk]) for item in window.items),
        total=counts_of([counted])[0],
        indexed=sum(state == INDEXED for state in states.values()),
        older=Cursor.of(window.items[0]) if window.has_older else None,
        newer=Cursor.of(window.items[-1]) if window.has_newer else None,
        shown=len(window.items),
        day=place.day,
    )


def window_at(session: UserSession, place: Place) -> Window:
    """The items of the page. A place that does not exist, and one with fewer items than a page has, is the end."""
    items = session.items().defer("embedding")
    if place.before is not None:
        found = older(items, place.before, ITEMS_PER_PAGE + 1)
        if not found:
            return newest(session)
        return Window(found[:ITEMS_PER_PAGE][::-1], len(found) > ITEMS_PER_PAGE, has_newer=True)
    start = start_of(place.day)
    item = session.items().filter(pk=place.item).only("timestamp").first() if place.item else None
    has_older = False
    if place.after is not None:
        found, has_older = newer(items, place.after, ITEMS_PER_PAGE + 1), True
    elif item is not None:
        return around(items, Cursor.of(item))
    elif start is not None:
        has_older = items.filter(timestamp__lt=start).exists()
        found = list(items.reverse().filter(timestamp__gte=start)[: ITEMS_PER_PAGE + 1])
    elif place.is_oldest:
        found = list(items.reverse()[: ITEMS_PER_PAGE + 1])
    else:
        return newest(session)
    return Window(found[:ITEMS_PER_PAGE], has_older, True) if len(found) > ITEMS_PER_PAGE else newest(session)


def newest(session: UserSession) -> Window:
    """The end. The cache holds complete items; without a cache, large columns are not read."""
    if history.cache_of(session._state.db or "") is None:
        found = list(session.items().defer("embedding")[: ITEMS_PER_PAGE + 1])
    else:
        found = history.recent(session.user_id, session.session_id, ITEMS_PER_PAGE + 1, superseded=True)
    return Window(found[:ITEMS_PER_PAGE][::-1], len(found) > ITEMS_PER_PAGE, has_newer=False)


def around(items: Any, cursor: Cursor) -> Window:
    """The item at a cursor, with as many items before it as after it."""
    half = ITEMS_PER_PAGE // 2
    before, after = older(items, cursor, half + 1), newer(items, cursor, half)
    own = items.filter(pk=cursor.id)
    return Window(
        [*before[:half][::-1], *own, *after[: half - 1]], has_older=len(before) > half, has_newer=len(after) >= half
    )


def older(items: Any, cursor: Cursor, count: int) -> list[MemoryItem]:
    """Up to `count` items before the cursor, newest first. Two ranges of the index: one with OR would read more."""
    same = list(items.filter(timestamp=cursor.time, pk__lt=cursor.id)[:count])
    return [*same, *items.filter(timestamp__lt=cursor.time)[: count - len(same)]]


def newer(items: Any, cursor: Cursor, count: int) -> list[MemoryItem]:
    """Up to `count` items after the cursor, oldest first."""
    rows = items.reverse()
    same = list(rows.filter(timestamp=cursor.time, pk__gt=cursor.id)[:count])
    return [*same, *rows.filter(timestamp__gt=cursor.time)[: count - len(same)]]
