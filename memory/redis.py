"""Clients for django-redis that do not delay requests while Redis is down.

A process has one circuit breaker for each Redis (`breaker_of`). The conversation cache uses it, and with
`"REDIS_CLIENT_CLASS": "memory.redis.GuardedRedis"` in `OPTIONS`, throttles, sessions and health checks do, too.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Protocol

from django.core.cache import BaseCache, caches

from memory.backends.firestore.values.batching import batches

from .breaker import KEYS_AT_ONCE, Breaker, Unavailable, literal
from .extras import MissingExtra

try:
    import redis
    from django_redis.cache import RedisCache
    from django_redis.client import ShardClient
    from django_redis.exceptions import ConnectionInterrupted
    from django_redis.pool import ConnectionFactory
    from django_redis.serializers.json import JSONSerializer
    from redis.cluster import RedisCluster
    from redis.exceptions import RedisClusterException, SlotNotCoveredError
except ModuleNotFoundError as error:
    raise MissingExtra("memory.redis", "redis") from error

# Errors of redis-py if the server is down or is not a Redis; its parser and handshake raise the last four for garbage.
FAILURES = (redis.RedisError, SlotNotCoveredError, OSError, ValueError, TypeError, LookupError, AttributeError)
# Replies that any command may get for a while. OOM is not one of them: Redis still reads and deletes then.
REFUSALS = ("LOADING", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "WRONGPASS", "BUSY ")
READS = frozenset({"GET", "MGET", "EXISTS", "TTL", "PTTL", "SCAN", "KEYS", "PING", "INFO", "TYPE", "STRLEN", "TIME"})
PROBE_KEY = "memory:probe"
# A key of a cached conversation: the cache's prefix and version, the app's prefix, a digest in braces.
CONVERSATION_KEY = re.compile(r"(.*memory:h:)\{[^{}]*\}:(?:state|order)", re.DOTALL)


class ServiceRefusedError(redis.ConnectionError):
    """Redis replies, but cannot serve requests for now."""


class Client(Protocol):
    """The methods of a redis-py client that are used here."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""

    def pipeline(self, transaction: bool = ...) -> Any:
        """Several commands in one round trip."""

    def scan_iter(self, match: str | None = ..., count: int | None = ...) -> Any:
        """Names of keys."""


_direct = threading.local()


@contextmanager
def unguarded() -> Iterator[None]:
    """This thread's commands bypass the breaker inside the context."""
    _direct.on = True
    try:
        yield
    finally:
        _direct.on = False


class Guard:
    """A mixin for redis-py clients: commands use the circuit breaker and fail at once while it is open.

    Failures raise `redis.ConnectionError`, which django-redis's `IGNORE_EXCEPTIONS` handles. A key whose change failed
    is dropped before the circuit closes.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command. Raises `redis.ConnectionError` while the circuit is open."""
        if getattr(_direct, "on", False):
            return self.execute_unguarded(*args, **options)
        keys = () if str(args[0]).upper() in READS else tuple(_text(key) for key in args[1:2])
        try:
            return breaker_of(self).call(partial(self._judged, *args, **options), keys)
        except _PassedOn as passed:
            raise passed.error from None
        except Unavailable as error:
            raise redis.ConnectionError(str(error)) from error

    def execute_unguarded(self, *args: Any, **options: Any) -> Any:
        """Send one command, even while the circuit is open."""
        return super().execute_command(*args, **options)  # type: ignore[misc]

    def pipeline(self, *args: Any, **options: Any) -> Any:
        """A pipeline. Raises `redis.ConnectionError` while the circuit is open."""
        if breaker_of(self).is_open and not getattr(_direct, "on", False):
            raise redis.ConnectionError("The circuit is open.")
        return super().pipeline(*args, **options)  # type: ignore[misc]

    def _judged(self, *args: Any, **options: Any) -> Any:
        try:
            return self.execute_unguarded(*args, **options)
        except redis.ResponseError as error:
            if str(error).lstrip("-").startswith(REFUSALS):
                raise ServiceRefusedError(type(error).__name__) from error
            raise _PassedOn(error) from error


class _PassedOn(Exception):
    """An error caused by the command, not by the state of the server."""

    def __init__(self, error: redis.ResponseError) -> None:
        super().__init__(error)
        self.error = error


class GuardedRedis(Guard, redis.Redis):
    """A client for one Redis, or for servers behind Sentinel."""


class GuardedRedisCluster(Guard, RedisCluster):
    """A client for a cluster. It connects at the first command, so it can be created while the cluster is down."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._connected = False
        self._connecting = threading.RLock()

    def execute_unguarded(self, *args: Any, **options: Any) -> Any:
        """Send one command, even while the circuit is open."""
        self._connect()
        return super().execute_unguarded(*args, **options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        """A pipeline. Raises `redis.ConnectionError` while the circuit is open."""
        try:
            if getattr(_direct, "on", False):
                self._connect()
            else:
                breaker_of(self).call(self._connect)
        except Unavailable as error:
            raise redis.ConnectionError(str(error)) from error
        return super().pipeline(*args, **options)

    def mget(self, keys: Any, *args: Any) -> Any:
        """The keys' values, whichever slots they are in."""
        return self.mget_nonatomic(keys, *args)

    def _connect(self) -> None:
        with self._connecting:
            if self._connected:
                return
            self._connected = True  # set first: connecting sends commands through this method
            try:
                with unguarded():
                    RedisCluster.__init__(self, **self._options)
            except (redis.RedisError, RedisClusterException, OSError) as error:
                self._connected = False
                raise redis.ConnectionError(str(error)) from error


class ClusterConnectionFactory(ConnectionFactory):  # type: ignore[misc]
    """`"CONNECTION_FACTORY"` of a cache whose `LOCATION` is any node of a Redis Cluster.

    A cluster's client has its own pools and map of slots, so a process has one per location.
    """

    _clients: dict[str, GuardedRedisCluster] = {}
    _lock = threading.Lock()

    def connect(self, url: str) -> GuardedRedisCluster:
        """The process's client, created at the first call. It reads the map of slots at its first command."""
        with self._lock:
            if url not in self._clients:
                params = {**self.make_connection_params(url), **self.pool_cls_kwargs, **self.redis_client_cls_kwargs}
                params.pop("parser_class")
                self._clients[url] = GuardedRedisCluster(**params)
            return self._clients[url]

    def disconnect(self, connection: GuardedRedisCluster) -> None:
        """Close the connections to all nodes."""
        connection.disconnect_connection_pools()  # type: ignore[no-untyped-call]


class TolerantJSONSerializer(JSONSerializer):  # type: ignore[misc]
    """JSON; values that do not decode count as missing."""

    def loads(self, value: bytes) -> Any:
        """Decode a value. Raises `ConnectionInterrupted`, which `IGNORE_EXCEPTIONS` turns into a miss."""
        try:
            return super().loads(value)
        except ValueError as error:
            raise ConnectionInterrupted(connection=None) from error


def redis_cache(alias: str) -> RedisCache | None:
    """The cache of an alias if it is django-redis's and not sharded; None otherwise."""
    cache: BaseCache = caches[alias]
    return cache if isinstance(cache, RedisCache) and not isinstance(cache.client, ShardClient) else None


def raw_client(cache: RedisCache) -> Client:
    """The redis-py client for writes behind a cache of django-redis."""
    client: Client = cache.client.get_client(write=True)
    return client


_breakers: dict[object, Breaker] = {}
_breakers_lock = threading.Lock()


def breaker_of(client: Any) -> Breaker:
    """The process's breaker for the Redis of a client."""
    target = getattr(client, "connection_pool", None) or client
    breaker = _breakers.get(target)
    if breaker is None:
        with _breakers_lock:
            breaker = _breakers.setdefault(target, _make_breaker(client))
    return breaker


def _make_breaker(client: Client) -> Breaker:
    execute = getattr(client, "execute_unguarded", client.execute_command)
    return Breaker("Redis", partial(_probe, execute), partial(_drop, client), FAILURES, condensed)


def _probe(execute: Any) -> None:
    # A write without effect: replicas, and servers that load or cannot save, reject it.
    if not isinstance(answer := execute("DEL", PROBE_KEY), int):
        raise redis.InvalidResponse(f"The reply to DEL is a {type(answer).__name__}.")
    # The conversation cache identifies servers by it.
    if not isinstance(answer := execute("INFO", "server"), dict) or "run_id" not in answer:
        raise redis.InvalidResponse("The reply to INFO has no run_id.")


class Pattern(str):
    """A glob of Redis that stands for all keys it matches."""

    __slots__ = ()


def condensed(keys: Collection[str]) -> set[str]:
    """The keys, with one pattern for all conversations below one prefix and version of a cache; others are kept."""
    return {
        key if isinstance(key, Pattern) or not (match := CONVERSATION_KEY.fullmatch(key)) else _conversations(match[1])
        for key in keys
    }


def _conversations(prefix: str) -> Pattern:
    return Pattern(f"{literal(prefix)}{{*")


def _drop(client: Client, keys: Collection[str]) -> None:
    patterns = [key for key in keys if isinstance(key, Pattern)]
    with unguarded():
        matching = (key for pattern in patterns for key in client.scan_iter(match=pattern, count=KEYS_AT_ONCE))
        found = chain((key for key in keys if not isinstance(key, Pattern)), matching)
        for batch in batches(found, KEYS_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for key in batch:
                pipeline.execute_command("UNLINK", key)
            pipeline.execute()


def _text(key: object) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
