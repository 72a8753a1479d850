"""The tests' own tools: a real Redis on demand, and a proxy in front of it."""

import time
from collections.abc import Callable

import pytest
import redis

from memory.testing.redis import RedisServer

from .tcp import Proxy

pytestmark = pytest.mark.redis


def test_a_server_keeps_what_it_saved_over_a_restart(start_redis: Callable[..., RedisServer]) -> None:
    """With saving on, `restart` brings back the data; without, it comes back empty on the same port."""
    saving, forgetful = start_redis(save="3600 1", password="a-password"), start_redis()
    for server, found in ((saving, b"1"), (forgetful, None)):
        server.client().set("key", 1)
        server.restart()
        assert server.client().get("key") == found


def test_a_paused_server_answers_once_resumed(start_redis: Callable[..., RedisServer]) -> None:
    """A pause looks like a timeout, not like a refusal."""
    server = start_redis()
    client = server.client(socket_timeout=0.1)
    server.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    server.resume()
    assert client.ping()


def test_the_proxy_cuts_delays_and_swallows(redis_server: RedisServer) -> None:
    """The client sees each fault as itself, and `heal` ends it."""
    with Proxy(redis_server.port) as proxy:
        client = redis.Redis(port=proxy.port, socket_timeout=0.2, retry=redis_server.client().get_retry())
        assert client.ping()
        proxy.delay = 0.05
        begun = time.monotonic()
        assert client.ping()
        assert time.monotonic() - begun >= 0.1
        proxy.heal()
        proxy.blackhole()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.heal()
        assert client.ping()
        proxy.cut()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        proxy.heal()
        assert client.ping()
