"""The texts before an item in its session: from items written with it, the cache, or the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from django.db import connections
from django.db.models import Q

from memory.cache import Conversation
from memory.embedding import EARLIER
from memory.models import MemoryItem
from memory.snapshots import microseconds
from memory.text_index import Newest

Texts: TypeAlias = list[str | None]


def nothing_cached(conversation: Conversation) -> None:
    """A `Newest` that knows nothing, so the database is read."""


def of_new_items(items: Sequence[MemoryItem], using: str, newest: Newest) -> list[Texts]:
    """For each of the items, which are written together, the texts of up to three before it, nearest first.

    The database is read for the texts before each session's first item, unless `newest` returns them.
    """
    sessions: dict[Conversation, list[MemoryItem]] = {}
    for item in items:
        if (conversation := item.conversation) is not None:
            sessions.setdefault(conversation, []).append(item)
    for some in sessions.values():
        some.sort(key=_place)
    firsts = {conversation: some[0] for conversation, some in sessions.items()}
    known = {conversation: _from_newest(newest(conversation), first) for conversation, first in firsts.items()}
    unknown = [conversation for conversation, texts in known.items() if texts is None]
    known |= zip(unknown, _read([firsts[conversation] for conversation in unknown], using), strict=True)
    found: dict[str, Texts] = {}
    for conversation, some in sessions.items():
        said = [*reversed(known[conversation] or []), *(item.text_content for item in some)]
        for place, item in enumerate(some, len(said) - len(some)):
            found[item.pk] = said[max(0, place - EARLIER) : place][::-1]
    return [found.get(item.pk, []) for item in items]


def of_stored_items(items: Sequence[MemoryItem], using: str) -> list[Texts]:
    """The same for stored items: one read of the database each, on Firestore in one round."""
    inside = [item for item in items if item.session_id is not None]
    found: Mapping[str, Texts] = dict(zip((item.pk for item in inside), _read(inside, using), strict=True))
    return [found.get(item.pk, []) for item in items]


def _place(item: MemoryItem) -> tuple[int, str]:
    return microseconds(item.timestamp), item.pk


def _from_newest(newest: Sequence[MemoryItem] | None, first: MemoryItem) -> Texts | None:
    """The texts before `first` among the session's newest items; None if there may be more of them."""
    if newest is None:
        return None
    before = [item.text_content for item in newest if _place(item) < _place(first)]
    return before if len(before) >= EARLIER or len(newest) < EARLIER else None


def _read(items: Sequence[MemoryItem], using: str) -> list[Texts]:
    asked = [_before(item, using) for item in items]
    rows: Sequence[Any] = asked
    if connections[using].vendor == "firestore":
        from memory.backends.firestore.batch_fetch import fetch  # slow to import: Google's client

        rows = fetch(asked, locks=False)
    return [[text for (text,) in some] for some in rows]


def _before(item: MemoryItem, using: str) -> Any:
    same = type(item).objects.using(using).for_user(item.user_id).in_session(item.session_id)
    earlier = Q(timestamp__lt=item.timestamp) | Q(timestamp=item.timestamp, id__lt=item.pk)
    return same.filter(earlier).newest_first().values_list("text_content")[:EARLIER]
