"""Changing a stored item in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from ..conf import memory_settings
from ..contention import retried_on_contention, write_transaction
from ..models import AgentData, MemoryItem
from ..querysets.retained import is_retained
from .changes import apply


def update_item(
    using: str, pk: str, changes: Mapping[str, Any], merge_metadata: bool, *, owner: str | None = None
) -> MemoryItem | None:
    """Change an item, and return it; None if it does not exist, has expired, or is not of `owner` (None: anybody's)."""
    twin = _twin(changes, using)

    def attempt() -> MemoryItem | None:
        with write_transaction(using):
            stored = MemoryItem.all_objects.using(using).select_for_update().filter(pk=pk).first()
            if stored is None or not is_live(stored) or owner not in (None, stored.user_id):
                return None
            apply(stored, changes, merge_metadata)
            if twin is not None:
                stored.take_derived_fields(twin)
            stored.save(using=using)
            return stored

    return retried_on_contention(attempt, using=using, keys=[pk])


def _twin(changes: Mapping[str, Any], using: str) -> MemoryItem | None:
    """An item with the new text and its vector, computed before the transaction, which locks an SQLite database."""
    if not isinstance(text := changes.get("text_content"), str):
        return None
    twin = MemoryItem(user_id="-", item_type="-", text_content=text)
    twin.check_limits()
    MemoryItem.before_transaction([twin], using)
    return twin


def is_live(record: MemoryItem | AgentData) -> bool:
    """Whether the record has not expired, and no policy of retention covers it."""
    if record.expiration is not None and record.expiration <= timezone.now():
        return False
    return not memory_settings.retention or is_retained(record, record._state.db or memory_settings.database)
