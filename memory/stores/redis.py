"""An awaitable key-value store of JSON in Redis, through django-redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from ..conf import memory_settings
from ..exceptions import ConnectionError, StorageError, ValidationError, storage_errors
from ..extras import MissingExtra
from ..models import MemoryItem, UserSession
from ..snapshots import HISTORY_KEY, NotASnapshotError, form_of, restore, take
from .threads import THREADS, Threads
from .validation import check_count, check_name, validated_records

try:
    from django_redis.cache import RedisCache
    from django_redis.pool import ConnectionFactory
    from django_redis.serializers.json import JSONSerializer
except ModuleNotFoundError as error:
    raise MissingExtra("RedisClient", "redis") from error

T = TypeVar("T")

DEFAULT_PORT = 6379
TIMEOUT_SECONDS = 0.25


class StrictJSONSerializer(JSONSerializer):  # type: ignore[misc]
    """Strict JSON, since times and Decimals would not round-trip."""

    encoder_class = json.JSONEncoder


class OwnPool(ConnectionFactory):  # type: ignore[misc]
    """One pool per client. django-redis shares pools by URL even if passwords differ."""

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Any:
        """Return a new pool, which the cache keeps."""
        return self.get_connection_pool(params)


class RedisClient:
    """A client of the Redis at `host` and `port`, or of the cache `MEMORY["CACHE"]` without `host`.

    `db` is the database number, `ssl` enables TLS, `prefix` is the key prefix, `ttl` the default of `set` in seconds,
    `timeout` the limit of connecting and of responses in seconds. All methods except for `initialize` and `close` are
    awaitable. They raise `ConnectionError`, `StorageError` or `ValidationError`.
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
        """Connect, also after `close()`. Idempotent. Raises `ConnectionError` if Redis is unavailable."""
        if not self._ready:
            with storage_errors("Connecting to Redis"):
                self._threads.call(self._ping)
            self._ready = True

    def close(self) -> None:
        """Release threads and connections. Idempotent."""
        self._ready = False
        self._threads.close()
        if self._own is not None:
            self._own.client.do_close_clients()

    async def set(self, key: str, data: Any, ttl: int | None = None) -> bool:
        """Set a key to `data`, a JSON value, for `ttl` seconds."""
        check_name("key", key)
        seconds = self.ttl if ttl is None else ttl
        check_count("ttl", seconds)
        problem = _json_problem(data)
        if problem:
            raise ValidationError({"data": problem})
        return bool(await self._run("Writing to Redis", lambda: self._client().set(key, data, timeout=seconds)))

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` if it is missing or not JSON."""
        check_name("key", key)
        return await self._run("Reading from Redis", partial(self._read, key, default))

    async def delete(self, key: str) -> bool:
        """Delete a key; return whether it existed."""
        check_name("key", key)
        return bool(await self._run("Deleting from Redis", lambda: self._client().delete(key)))

    async def set_history(
        self, user_id: str, session_id: str, items: Iterable[MemoryItem], ttl: int | None = None
    ) -> bool:
        """Store a snapshot of a conversation for `ttl` seconds. Later writes do not update it.

        This is independent of the conversation cache that `ConcreteMemoryManager` reads through.
        """
        key = _history_key(user_id, session_id)
        records = validated_records(items, MemoryItem, "items")
        if any((item.user_id, item.session_id) != (user_id, session_id) for item in records):
            raise ValidationError({"items": "These must all be of this user and this session."})
        newest_first = sorted(records, key=lambda item: (item.timestamp, item.pk), reverse=True)
        snapshot = {"form": form_of(MemoryItem), "items": [take(item) for item in newest_first]}
        return await self.set(key, snapshot, ttl)

    async def get_history(self, user_id: str, session_id: str, limit: int = 20) -> list[MemoryItem] | None:
        """The stored conversation's `limit` newest unexpired items, newest first, or None if there is no snapshot."""
        check_count("limit", limit)
        snapshot = await self.get(_history_key(user_id, session_id))
        if not isinstance(snapshot, dict) or snapshot.get("form") != form_of(MemoryItem):
            return None
        try:
            items = [restore(MemoryItem, text, memory_settings.database) for text in snapshot["items"]]
        except (NotASnapshotError, KeyError, TypeError):  # not a value of this class
            return None
        now = timezone.now()
        return [item for item in items if item.expiration is None or item.expiration > now][:limit]

    async def delete_history(self, user_id: str, session_id: str) -> bool:
        """Delete a stored conversation; return whether it existed."""
        return await self.delete(_history_key(user_id, session_id))

    async def ping(self) -> bool:
        """Whether Redis responds. Returns False if it is unavailable."""
        try:
            return await self._run("Reaching Redis", self._ping)
        except ConnectionError:
            return False

    def _read(self, key: str, default: Any) -> Any:
        try:
            return self._client().get(key, default=default)
        except ValueError:  # not JSON
            return default

    def _ping(self) -> bool:
        return bool(self._client().get_client(write=True).ping())

    def _client(self) -> Any:
        """This thread's django-redis client, since the cache may ignore errors."""
        if self._own is not None:
            return self._own.client
        cache = caches[memory_settings.cache]
        if not isinstance(cache, RedisCache):
            raise ImproperlyConfigured(
                f"MEMORY['CACHE'] is {memory_settings.cache!r}, which is a {type(cache).__name__}. Pass a host to "
                "RedisClient, or use django_redis.cache.RedisCache."
            )
        return cache.client

    async def _run(self, doing: str, function: Callable[[], T]) -> T:
        if not self._ready:
            raise StorageError("This RedisClient is not initialized or was closed. Call initialize() first.")
        with storage_errors(doing):
            return await self._threads.run(function)


def _history_key(user_id: str, session_id: str) -> str:
    check_name("user_id", user_id)
    check_name("session_id", session_id)
    return f"{HISTORY_KEY}{UserSession.make_id(user_id, session_id)}"


def _json_problem(data: object) -> str:
    """Why `data` is not JSON; empty if it is."""
    try:
        json.dumps(data, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return f"This must be a JSON value (map with string keys, list, string, number, true, false, null): {error}."
    return ""
