"""Which cache belongs to a database, and how it stores items and sessions."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.cache import caches
from django.db import connections, models

from ..cache import Conversation, ConversationCache, Item
from ..conf import memory_settings
from ..snapshots import NotASnapshotError, form_of, moment, restore, sortable, take

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django_redis.cache import RedisCache

SessionT = TypeVar("SessionT", bound=models.Model)

_PROCESS = secrets.token_hex(8)


@dataclass(frozen=True)
class Tables:
    """The models whose rows the cache holds: `MemoryItem` and `UserSession`."""

    items: type[Any]
    sessions: type[Any]


def cache_of(using: str, items: type[models.Model]) -> ConversationCache | None:
    """The cache of the database `using`; None where `CACHE` is None or not a Redis.

    `items` is the model of the items: cached values of another version of it are not read.
    """
    cache = redis_cache_of(memory_settings.history_cache)
    if cache is None or (database := _identity(connections[using])) is None:
        return None
    return ConversationCache(cache, database, form_of(items), memory_settings.history_size, memory_settings.cache_ttl)


def redis_cache_of(alias: str | None) -> RedisCache | None:
    """The cache of an alias if it is django-redis's and not sharded; None otherwise."""
    if alias is None or caches[alias] is None or "django_redis.cache" not in sys.modules:
        return None  # a cache loads the module of its class
    from ..redis import redis_cache  # slow to import, and not used without a cache

    return redis_cache(alias)


def _identity(connection: BaseDatabaseWrapper) -> str | None:
    """A name of the database that is the same in all processes; None for a database of one thread."""
    settings = connection.settings_dict
    parts = [connection.vendor, *(str(settings.get(key, "")) for key in ("HOST", "PORT", "PROJECT", "NAME"))]
    in_memory = getattr(connection, "is_in_memory_db", None)
    if in_memory is not None and in_memory():
        if settings["NAME"] == ":memory:":  # each thread has its own
            return None
        parts.append(f"{os.getpid()}-{_PROCESS}")
    return "|".join(parts)


def conversation_of(item: Any) -> Conversation | None:
    """The conversation that an item belongs to; None for an item without a session."""
    return None if item.session_id is None else Conversation(item.user_id, item.session_id)


def session_row(session: models.Model) -> str:
    """The cached value of a session."""
    return form_of(type(session)) + take(session)


TOUCHED = "~"
"""Begins the cached value of a session whose row is not known, but times that it includes are (`lua/session.lua`)."""


def touched_row(started_at: datetime, last_activity: datetime) -> str:
    """The cached value of a session of which only times are known."""
    return f"{TOUCHED}{sortable(started_at)}{sortable(last_activity)}"


def times_from(row: bytes | None, model: type[Any], using: str) -> tuple[datetime, datetime] | None:
    """The first and last time of a cached session, whether its row is known or not."""
    text = (row or b"").decode(errors="replace")
    digits = text.removeprefix(TOUCHED)
    if text.startswith(TOUCHED) and len(digits) == 36 and digits.isascii() and digits.isdigit():
        return moment(int(digits[:18])), moment(int(digits[18:]))
    known = session_from(row, model, using)
    return None if known is None else (known.started_at, known.last_activity)


def session_from(row: bytes | None, model: type[SessionT], using: str) -> SessionT | None:
    """The inverse of `session_row`; None for a value of another version, or no value."""
    text = b"" if row is None else row
    form = form_of(model).encode()
    if not text.startswith(form):
        return None
    try:
        return restore(model, text[len(form) :], using)
    except NotASnapshotError:
        return None


def cached_item(item: Any) -> Item:
    """The cached value of an item. Raises `ValueError` or `TypeError` for expressions, which the database computes."""
    return Item(item.pk, sortable(item.timestamp), sortable(item.expiration), take(item))
