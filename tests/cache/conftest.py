"""Fixtures for the conversation cache: a real Redis in front of a database whose transactions really commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memory import breaker
from memory.cache import ConversationCache
from memory.history import cache_of
from memory.testing.redis import RedisServer


@pytest.fixture
def use_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ConversationCache]]:
    """Makes a server, or a port in front of one, the cache of the test.

    Timeouts are long unless `strict`, since a busy machine is not the fault under test.
    """

    def use(server: RedisServer, port: int | None = None, strict: bool = False, **options: Any) -> ConversationCache:
        if not strict:
            monkeypatch.setattr(breaker, "SLOW_SECONDS", 10.0)
            options = {"SOCKET_TIMEOUT": 10, "SOCKET_CONNECT_TIMEOUT": 10, **options}
        config = server.cache_settings(**options)
        if port is not None:
            config["LOCATION"] = f"redis://127.0.0.1:{port}/0"
        settings.CACHES = {"default": config}
        cache = cache_of("memory")
        assert cache is not None
        return cache

    yield use
    breaker.stop_all()


@pytest.fixture
def cache(
    redis_server: RedisServer, use_redis: Callable[..., ConversationCache], transactional_db: None
) -> ConversationCache:
    """The conversation cache, empty, on a Redis that the test must not break."""
    return use_redis(redis_server)
