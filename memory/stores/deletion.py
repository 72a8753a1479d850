"""Deleting a user's items, and all that is stored of a user, in transactions of a bounded size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from ..batches import ROWS_AT_ONCE, batches
from ..extras import MissingExtra
from ..models import (
    AgentCheckpoint,
    AgentPart,
    AgentWrites,
    MemoryItem,
    SearchIndex,
    SearchLabel,
    SearchSegment,
    UserSession,
)
from ..querysets import MemoryItemQuerySet
from ..querysets.scan import streamed
from .filters import Condition, matching, narrowed

OF_A_USER = (AgentCheckpoint, AgentWrites, AgentPart, SearchLabel)
"""Models with rows of a user, besides items, sessions and the search index."""


def forget_items(using: str, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]) -> int:
    """Delete the user's items that meet the conditions, without conditions a session; return the number of items."""
    if session_id is not None and not conditions:
        session = UserSession.objects.using(using).filter(pk=UserSession.make_id(user_id, session_id))
        return _deleted(session)
    stored: MemoryItemQuerySet = MemoryItem.all_objects.using(using)
    items, scanned = narrowed(stored, user_id, session_id, conditions)
    return delete_items(items, matching(scanned) if scanned else None)


def delete_items(items: MemoryItemQuerySet, matches: Callable[[MemoryItem], bool] | None = None) -> int:
    """Delete the items, with `matches` those of them that match; return their number."""
    if matches is None:
        return _delete_all(items)
    found = [item.pk for item in streamed(items.order_by().without_search_data()) if matches(item)]
    return sum(_deleted(items.filter(pk__in=batch)) for batch in batches(found, ROWS_AT_ONCE))


def delete_user(user_id: str, using: str) -> int:
    """Delete all that is stored of a user but agent data, which has no user; return the number of items."""
    deleted = _delete_all(MemoryItem.all_objects.using(using).for_user(user_id))
    deleted += _delete_all(UserSession.objects.using(using).for_user(user_id))
    for model in OF_A_USER:
        _delete_all(model._default_manager.using(using).filter(user_id=user_id))
    delete_index(user_id, using)
    return deleted


def delete_index(user_id: str, using: str) -> None:
    """Delete a user's search index, with what processes and Redis know of it if search is installed."""
    try:
        from ..search.packing import erase  # needs an extra
    except MissingExtra:
        for model in (SearchIndex, SearchSegment):
            model._default_manager.using(using).filter(user_id=user_id).delete()
    else:
        erase(user_id, using)


def _delete_all(rows: QuerySet[Any]) -> int:
    """Delete rows in batches; return how many of them, or of what was deleted with them, are items."""
    deleted, keys = 0, [""] * ROWS_AT_ONCE
    while len(keys) == ROWS_AT_ONCE:
        keys = list(rows.order_by().values_list("pk", flat=True)[:ROWS_AT_ONCE])
        deleted += _deleted(rows.filter(pk__in=keys)) if keys else 0
    return deleted


def _deleted(rows: QuerySet[Any]) -> int:
    return rows.delete()[1].get(MemoryItem._meta.label, 0)
