"""The state of items in the search index: in it, waiting for it, or without a text to search.

A user's directory has the time up to which written items are in the index. `states_of` reads it once, and of the items
that were written later at most `MOST_WAITING` ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..conf import memory_settings
from ..models import MemoryItem, SearchIndex, id_of_user
from ..querysets import MemoryItemQuerySet
from ..snapshots import epoch_moment

MOST_WAITING: Final = 200

INDEXED, WAITING, WITHOUT_TEXT, UNKNOWN = "indexed", "waiting", "no_text", "unknown"

STATES: Final[Mapping[str, str | Promise]] = {
    INDEXED: _("in the index"),
    WAITING: _("waits for the index; searches read it beside the index"),
    WITHOUT_TEXT: _("no text, so searches do not find it"),
    UNKNOWN: _("unknown: too many items wait for the index"),
}


def waiting_items(user_id: str, using: str) -> MemoryItemQuerySet:
    """The user's items that a search reads beside the index: those written after it was made, expired ones too."""
    items = MemoryItem.all_objects.using(using).for_user(user_id).order_by()
    since = indexed_until(user_id, using)
    return items if since is None else items.filter(written__gt=since).order_by("written")


def indexed_until(user_id: str, using: str) -> datetime | None:
    """The time of writing up to which items are in the user's index; None if none is."""
    rows = SearchIndex.objects.using(using).filter(pk=id_of_user(user_id))
    since = rows.values_list("since", flat=True).first()
    return None if since is None else epoch_moment(since)


def states_of(items: Iterable[MemoryItem], user_id: str, using: str | None = None) -> dict[str, str]:
    """The state of each of a user's items, by id: two queries, one if the user has no index."""
    alias = using or memory_settings.database
    since = indexed_until(user_id, alias)
    if since is None:
        return {item.pk: WITHOUT_TEXT if item.text_content is None else WAITING for item in items}
    rows = MemoryItem.all_objects.using(alias).for_user(user_id).filter(written__gt=since).order_by("written")
    waiting = set(rows.values_list("pk", flat=True)[: MOST_WAITING + 1])
    return {item.pk: state_of(item, waiting) for item in items}


def state_of(item: MemoryItem, waiting: Set[str]) -> str:
    """The state of an item, given the ids of those that wait."""
    if item.text_content is None:
        return WITHOUT_TEXT
    if item.pk in waiting:
        return WAITING
    return UNKNOWN if len(waiting) > MOST_WAITING else INDEXED
