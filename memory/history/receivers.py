"""Receivers of Django's signals, for what reaches the tables past the models or ends without a word (`apps.py`)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connections

from ..batches import places_of
from ..cache import Unavailable
from .cached import cache_of
from .changes import Changes
from .marking import settle


def settle_all(**kwargs: Any) -> None:
    """`settle`, for all connections of this thread: when a request has ended."""
    for connection in connections.all(initialized_only=True):
        settle(connection.alias)


def before_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """`loaddata` saves past the models' own `save`: mark the conversation that a row is in, and the one it comes to."""
    if raw and (changes := Changes(cache_of(using), using)).active:
        stored = places_of(type(instance)._base_manager.using(using).filter(pk=instance.pk), lock=False)
        changes.expect([instance.conversation, *(conversation for rows in stored for _, conversation in rows)])


def after_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """The other half of `before_raw_save`."""
    if raw and (changes := Changes(cache_of(using), using)).active:
        changes.everything_changed()


def forget_everything(using: str, **kwargs: Any) -> None:
    """The tables are new or have been emptied."""
    if (cache := cache_of(using)) is not None:
        with suppress(Unavailable):
            cache.clear()
