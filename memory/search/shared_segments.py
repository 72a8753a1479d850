"""Segments in Redis, for all processes: optional (`MEMORY["SEARCH_CACHE"]`), and for `CACHE_TTL` seconds.

A key holds the stored form of one segment, which never changes. While Redis is down the database is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from memory.breaker import Unavailable, literal
from memory.coherence import redis_cache_of
from memory.conf import memory_settings

logger = logging.getLogger(__name__)

PREFIX = "memory:segment:"

ResultT = TypeVar("ResultT")


def get(ids: Sequence[str]) -> dict[str, bytes]:
    """The segments that Redis has, by id."""

    def read(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        return list(client.mget(keys))

    found = _call(read, ids) or [None] * len(ids)
    return {identity: bytes(data) for identity, data in zip(ids, found, strict=True) if data is not None}


def put(segments: Mapping[str, bytes]) -> None:
    """Keep segments."""

    def write(client: Any, keys: Sequence[str]) -> None:
        pipeline = client.pipeline(transaction=False)
        for key, data in zip(keys, segments.values(), strict=True):
            pipeline.set(key, data, ex=memory_settings.cache_ttl)
        pipeline.execute()

    _call(write, list(segments))


def forget(ids: Iterable[str]) -> None:
    """Drop segments."""

    def drop(client: Any, keys: Sequence[str]) -> None:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.unlink(key)
        pipeline.execute()

    _call(drop, list(ids), drops=True)


def forget_matching(is_one: Callable[[str], bool]) -> int:
    """Drop the segments with certain ids, of all keys of segments. Returns how many. Raises `Unavailable`."""
    cache = redis_cache_of(memory_settings.search_cache)
    if cache is None:
        return 0
    from memory.redis import breaker_of, raw_client  # slow to import, and not used without a cache

    client, start = raw_client(cache), str(cache.make_key(PREFIX))

    def drop() -> int:
        matching = client.scan_iter(match=f"{literal(start)}*")
        keys = [key.decode() if isinstance(key, bytes) else str(key) for key in matching]
        found = [key for key in keys if is_one(key[len(start) :])]
        pipeline = client.pipeline(transaction=False)
        for key in found:
            pipeline.unlink(key)
        pipeline.execute()
        return len(found)

    return breaker_of(client).call(drop, timed=False)


def _call(action: Callable[[Any, Sequence[str]], ResultT], ids: Sequence[str], drops: bool = False) -> ResultT | None:
    """The result; None without a cache, or while Redis does not answer."""
    cache = redis_cache_of(memory_settings.search_cache) if ids else None
    if cache is None:
        return None
    from memory.redis import FAILURES, breaker_of, raw_client  # slow to import, and not used without a cache

    keys = [cache.make_key(f"{PREFIX}{identity}") for identity in ids]
    try:
        client = raw_client(cache)
        return breaker_of(client).call(lambda: action(client, keys), keys if drops else ())
    except (Unavailable, *FAILURES):
        logger.debug("Segments of search indexes are read from the database.", exc_info=True)
        return None
