"""Which cache is in front of a database, and how it holds items and sessions."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from django.db import connections

from ..cache import Conversation, ConversationCache, Item
from ..conf import memory_settings
from ..redis import redis_cache
from ..snapshots import NotASnapshotError, form_of, restore, sortable, take

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..models import MemoryItem, UserSession

_PROCESS = secrets.token_hex(8)


def cache_of(using: str) -> ConversationCache | None:
    """The cache in front of a database, or None where there is none: switched off, or `CACHE` is no Redis."""
    alias = memory_settings.history_cache
    cache = None if alias is None else redis_cache(alias)
    if cache is None or (database := _identity(connections[using])) is None:
        return None
    from ..models import MemoryItem

    return ConversationCache(
        cache, database, form_of(MemoryItem), memory_settings.history_size, memory_settings.cache_ttl
    )


def _identity(connection: BaseDatabaseWrapper) -> str | None:
    """What tells a database from others, for all processes that use it alike."""
    settings = connection.settings_dict
    parts = [connection.vendor, *(str(settings.get(key, "")) for key in ("HOST", "PORT", "PROJECT", "NAME"))]
    in_memory = getattr(connection, "is_in_memory_db", None)
    if in_memory is not None and in_memory():
        if settings["NAME"] == ":memory:":  # each thread has its own
            return None
        parts.append(f"{os.getpid()}-{_PROCESS}")
    return "|".join(parts)


def conversation_of(item: MemoryItem) -> Conversation | None:
    """The conversation that an item belongs to; None outside of any."""
    return None if item.session_id is None else Conversation(item.user_id, item.session_id)


def row_of(found: UserSession) -> str:
    """A session as the cache holds it."""
    return form_of(type(found)) + take(found)


def session_from(row: bytes | None, using: str) -> UserSession | None:
    """The inverse of `row_of`; None for anything else."""
    from ..models import UserSession

    text = b"" if row is None else row
    form = form_of(UserSession).encode()
    if not text.startswith(form):
        return None
    try:
        return restore(UserSession, text[len(form) :], using)
    except NotASnapshotError:
        return None


def cached_item(item: MemoryItem) -> Item:
    """An item as the cache holds it. `ValueError` or `TypeError` where only the database knows its values."""
    return Item(item.pk, sortable(item.timestamp), sortable(item.expiration), take(item))
