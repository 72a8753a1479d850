"""What caches have of an erased person, in this process and in Redis: conversations, the search index, and the key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from memory.backends import clock

from .. import sealing
from ..breaker import Unavailable
from ..cache import Conversation
from ..coherence import cache_of
from ..exceptions import ConnectionError
from ..extras import missing
from ..models import MemoryItem
from .scrubbing import forget_snapshots

REDIS_SECONDS: Final = 60.0
"""How long an erasure waits for a Redis that does not answer."""


def forget(user_id: str, alias: str, sessions: Iterable[str], is_erased: Callable[[str], bool] | None) -> None:
    """Forget a person, the conversations of these sessions, and the parts of the search index that were erased.

    `is_erased` says so by the id of a part; None: none was. Raises `ConnectionError` if Redis does not answer.
    """
    sealing.known.forget(alias, user_id)
    try:
        _forget_search(user_id, alias, is_erased)
        forget_snapshots(user_id)
        if (cache := cache_of(alias, MemoryItem)) is not None:
            for session_id in sessions:
                cache.drop(Conversation(user_id, session_id))
            cache.forget(user_id)
    except Unavailable as error:
        raise ConnectionError("Redis cannot be reached; erase again when it runs.") from error


def forget_in_time(function: Callable[[], None], seconds: float = REDIS_SECONDS) -> None:
    """Call `forget` until Redis answers, at least once, and for at most so many seconds."""
    until = clock.monotonic() + seconds
    while True:
        try:
            return function()
        except ConnectionError:
            if clock.monotonic() >= until:
                raise
            time.sleep(1.0)


def _forget_search(user_id: str, alias: str, is_erased: Callable[[str], bool] | None) -> None:
    if missing("search"):
        return
    from ..search import segment_cache, shared_segments  # slow to import, and an extra

    segment_cache.cache.forget(alias, user_id)
    if is_erased is not None:
        shared_segments.forget_matching(is_erased)
