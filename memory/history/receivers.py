"""Receivers of Django's signals, for writes that bypass the models' `save()`, and for the end of a request.

`apps.py` connects them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connections

from ..batches import places_of
from ..cache import Unavailable
from ..coherence import Changes
from ..coherence.marking import settle
from ..models import CACHED
from .reading import cache_of


def settle_all(**kwargs: Any) -> None:
    """Receiver of `request_finished`: drop the marks of all transactions that were rolled back in this thread."""
    for connection in connections.all(initialized_only=True):
        settle(connection.alias)


def before_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """Receiver of `pre_save`: mark the conversations that a row of `loaddata` leaves and joins."""
    if raw and (changes := Changes(cache_of(using), using, CACHED)).active:
        stored = places_of(type(instance)._base_manager.using(using).filter(pk=instance.pk), lock=False)
        changes.expect([instance.conversation, *(conversation for rows in stored for _, conversation in rows)])


def after_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """Receiver of `post_save`: record that the marked conversations changed."""
    if raw and (changes := Changes(cache_of(using), using, CACHED)).active:
        changes.everything_changed()


def clear_cache(using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate`: clear the cache, since the tables are new or were emptied."""
    if (cache := cache_of(using)) is not None:
        with suppress(Unavailable):
            cache.clear()
