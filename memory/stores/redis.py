"""A Redis of one's own, or the project's cache, as an awaitable store of JSON under keys, through django-redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django_redis.cache import RedisCache
from django_redis.pool import ConnectionFactory
from django_redis.serializers.json import JSONSerializer

from ..conf import memory_settings
from ..exceptions import ConnectionError, StorageError, ValidationError, storage_errors
from ..models import MemoryItem, UserSession
from ..snapshots import NotASnapshotError, form_of, restore, take
from .threads import THREADS, Threads
from .validation import check_count, check_name, checked_records

T = TypeVar("T")

DEFAULT_PORT = 6379
TIMEOUT_SECONDS = 0.25


class StrictJSONSerializer(JSONSerializer):  # type: ignore[misc]
    """JSON and nothing else: a time or a Decimal would not come back as what it was."""

    encoder_class = json.JSONEncoder


class OwnPool(ConnectionFactory):  # type: ignore[misc]
    """A pool for each client; django-redis' own are shared by URL, whatever password each of them has."""

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Any:
        """A new pool; the cache that asks keeps it."""
        return self.get_connection_pool(params)


class RedisClient:
    """Redis at `host` and `port`, or, with no host given, the project's own: the cache of `MEMORY["CACHE"]`.

    `db` is the database's number, `ssl` asks for TLS, `prefix` comes before every key, `ttl` (seconds) is how long
    values are kept where `set` is not told, `timeout` (seconds) how long an answer may take. Every method but
    `initialize` and `close` is awaitable; they raise `ConnectionError`, `StorageError` or `ValidationError`.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int = DEFAULT_PORT,
        password: str | None = None,
        *,
        username: str | None = None,
        db: int = 0,
        ssl: bool = False,
        prefix: str = "",
        ttl: int = 3600,
        timeout: float = TIMEOUT_SECONDS,
        threads: int = THREADS,
    ) -> None:
        self.ttl = ttl
        self._ready = False
        self._threads = Threads("memory-redis", threads)
        self._own: RedisCache | None = None
        if host is not None:
            location = f"{'rediss' if ssl else 'redis'}://{f'[{host}]' if ':' in host else host}:{port}/{db}"
            options = {
                "SERIALIZER": f"{__name__}.{StrictJSONSerializer.__name__}",
                "CONNECTION_FACTORY": f"{__name__}.{OwnPool.__name__}",
                "SOCKET_CONNECT_TIMEOUT": timeout,
                "SOCKET_TIMEOUT": timeout,
                "USERNAME": username,
                "PASSWORD": password,
            }
            self._own = RedisCache(location, {"KEY_PREFIX": prefix, "OPTIONS": options})

    def initialize(self) -> None:
        """Make ready for use, again after `close()`; harmless twice. Raises `ConnectionError` if Redis is away."""
        if not self._ready:
            with storage_errors("Connecting to Redis"):
                self._threads.call(self._ping)
            self._ready = True

    def close(self) -> None:
        """Let go of threads and connections. Harmless twice."""
        self._ready = False
        self._threads.close()
        if self._own is not None:
            self._own.client.do_close_clients()

    async def set(self, key: str, data: Any, ttl: int | None = None) -> bool:
        """Keep `data`, which is JSON, under a key for `ttl` seconds; whatever was there is gone."""
        check_name("key", key)
        seconds = self.ttl if ttl is None else ttl
        check_count("ttl", seconds)
        problem = _json_problem(data)
        if problem:
            raise ValidationError({"data": problem})
        return bool(await self._run("Writing to Redis", lambda: self._client().set(key, data, timeout=seconds)))

    async def get(self, key: str, default: Any = None) -> Any:
        """What is kept under a key, or `default`; what does not decode counts as not there."""
        check_name("key", key)
        return await self._run("Reading from Redis", partial(self._decoded, key, default))

    async def delete(self, key: str) -> bool:
        """Delete a key; whether it was there."""
        check_name("key", key)
        return bool(await self._run("Deleting from Redis", lambda: self._client().delete(key)))

    async def set_history(
        self, user_id: str, session_id: str, items: Iterable[MemoryItem], ttl: int | None = None
    ) -> bool:
        """Keep a conversation as it is now, for `ttl` seconds: a copy, which later writes do not change.

        The cache that follows every write is another one: `ConcreteMemoryManager` reads through it by itself.
        """
        key = _history_key(user_id, session_id)
        records = checked_records(items, MemoryItem, "items")
        if any((item.user_id, item.session_id) != (user_id, session_id) for item in records):
            raise ValidationError({"items": "These must all be of this user and this session."})
        newest_first = sorted(records, key=lambda item: (item.timestamp, item.pk), reverse=True)
        kept = {"form": form_of(MemoryItem), "items": [take(item) for item in newest_first]}
        return await self.set(key, kept, ttl)

    async def get_history(self, user_id: str, session_id: str, limit: int = 20) -> list[MemoryItem] | None:
        """The kept conversation's `limit` newest live items, newest first; None where none is kept."""
        check_count("limit", limit)
        kept = await self.get(_history_key(user_id, session_id))
        if not isinstance(kept, dict) or kept.get("form") != form_of(MemoryItem):
            return None
        try:
            items = [restore(MemoryItem, text, memory_settings.database) for text in kept["items"]]
        except (NotASnapshotError, KeyError, TypeError):  # somebody else's value
            return None
        now = timezone.now()
        return [item for item in items if item.expiration is None or item.expiration > now][:limit]

    async def delete_history(self, user_id: str, session_id: str) -> bool:
        """Forget a kept conversation; whether there was one."""
        return await self.delete(_history_key(user_id, session_id))

    async def ping(self) -> bool:
        """Whether Redis answers. Raises nothing for a Redis that is away."""
        try:
            return await self._run("Reaching Redis", self._ping)
        except ConnectionError:
            return False

    def _decoded(self, key: str, default: Any) -> Any:
        try:
            return self._client().get(key, default=default)
        except ValueError:  # not JSON: somebody else's value
            return default

    def _ping(self) -> bool:
        return bool(self._client().get_client(write=True).ping())

    def _client(self) -> Any:
        """django-redis' client of this thread; below the cache, which may be told to swallow errors."""
        if self._own is not None:
            return self._own.client
        cache = caches[memory_settings.cache]
        if not isinstance(cache, RedisCache):
            raise ImproperlyConfigured(
                f"MEMORY['CACHE'] is {memory_settings.cache!r}, which is a {type(cache).__name__}: give RedisClient a "
                "host, or make the cache a django_redis.cache.RedisCache."
            )
        return cache.client

    async def _run(self, doing: str, function: Callable[[], T]) -> T:
        if not self._ready:
            raise StorageError("This RedisClient is not initialized, or closed: call initialize() first.")
        with storage_errors(doing):
            return await self._threads.run(function)


def _history_key(user_id: str, session_id: str) -> str:
    check_name("user_id", user_id)
    check_name("session_id", session_id)
    return f"history:{UserSession.make_id(user_id, session_id)}"


def _json_problem(data: object) -> str:
    """Why `data` cannot be kept as JSON; empty where it can."""
    try:
        json.dumps(data, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return f"This must be JSON (maps with texts as keys, lists, texts, numbers, true, false, null): {error}."
    return ""
