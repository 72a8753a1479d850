"""The cache on every kind of Redis that `REDIS_URL` supports, configured by the project's settings."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import cache as django_cache

from memory import breaker, history
from memory.models import MemoryItem
from memory.redis import breaker_of
from memory.testing.redis import RedisServer
from settings.redis import redis_cache
from tests.faults.tcp import Proxy
from tests.waiting import wait_until

from .test_history import item, queries, read_history, stored_history

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

Use = Callable[[str], None]


@pytest.fixture
def use(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Takes what `REDIS_URL` may be."""

    def use_url(url: str) -> None:
        monkeypatch.setenv("REDIS_URL", url)
        monkeypatch.setattr("settings.redis.TIMEOUT_SECONDS", 5.0)
        monkeypatch.setattr(breaker, "SLOW_SECONDS", 10.0)
        settings.CACHES = {"default": redis_cache(60)}

    yield use_url
    breaker.stop_all()


def check_all_of_it() -> None:
    """Values, a history and a bulk write go through Redis."""
    # Behind Sentinel, django-redis reads from replicas, which may lag.
    django_cache.set("key", {"a": 1})
    wait_until(lambda: django_cache.get("key") == {"a": 1})
    django_cache.set_many({"one": 1, "two": 2})
    wait_until(lambda: django_cache.get_many(["one", "two"]) == {"one": 1, "two": 2})
    for number in range(3):
        item(number).save()
    assert read_history() == stored_history()
    MemoryItem.objects.bulk_create([item(number, session_id=f"chat {number}") for number in range(10, 30)])
    MemoryItem.objects.filter(id="item-001").update(item_type="fact")
    assert read_history() == stored_history()
    with queries() as asked:
        history.recent("ada", "chat", 20)
    assert not asked.captured_queries
    cache = history.cache_of("memory")
    assert cache is not None
    assert cache.stats().conversations == 1
    assert [each.session_id for each in cache.names()] == ["chat"]
    assert cache.clear()
    assert cache.stats().conversations == 0


def test_a_password(use: Use, start_redis: Callable[..., RedisServer]) -> None:
    """A server with a password, which no key, log or repr contains."""
    server = start_redis(password="p@ss/w:rd")
    use(f"redis://:p%40ss%2Fw%3Ard@127.0.0.1:{server.port}/1")
    check_all_of_it()
    assert "p@ss" not in repr(history.cache_of("memory"))


def test_a_user(use: Use, start_redis: Callable[..., RedisServer]) -> None:
    """A user with the permissions listed in docs/cache.md and no others."""
    server = start_redis()
    rights = ["~*", "+@all", "-@dangerous", "-@admin", "+info"]
    server.client().execute_command("ACL", "SETUSER", "memory", "on", ">secret", *rights)
    use(f"redis://memory:secret@127.0.0.1:{server.port}/0")
    check_all_of_it()


def test_a_socket(use: Use, start_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    """A Unix socket."""
    start_redis(unixsocket=f"{tmp_path}/redis.sock")
    use(f"unix://{tmp_path}/redis.sock?db=1")
    check_all_of_it()


def test_tls(use: Use, redis_server: RedisServer, tmp_path: Path) -> None:
    """`rediss://`, with the server's certificate checked."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=a -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Proxy(redis_server.port, tls=context) as proxy:
        use(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={certificate}")
        check_all_of_it()


def test_a_cluster(use: Use, start_redis: Callable[..., RedisServer]) -> None:
    """Both keys of a conversation are in one slot; bulk writes use several slots."""
    server = start_redis(cluster_enabled="yes", password="secret")
    client = server.client()
    client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", seconds=10)
    use(f"redis+cluster://:secret@127.0.0.1:{server.port}")
    check_all_of_it()


def test_a_cluster_that_is_away(use: Use, start_redis: Callable[..., RedisServer]) -> None:
    """Neither values nor histories raise; the cluster is used as soon as it is available."""
    server = start_redis(cluster_enabled="yes")
    server.client().execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    server.kill()
    use(f"redis+cluster://127.0.0.1:{server.port}")
    item(90).save()
    assert django_cache.get("key", "default") == "default"
    django_cache.set("key", 1)
    assert read_history() == stored_history()
    server.start()
    _wait_until_used()
    check_all_of_it()


def test_sentinel_and_a_failover(use: Use, start_redis: Callable[..., RedisServer]) -> None:
    """The replica takes over, and its cached rows are not used: it may have missed writes."""
    first = start_redis(password="secret")
    second = start_redis(password="secret", replicaof=f"127.0.0.1 {first.port}")
    lines = (
        f"sentinel monitor main 127.0.0.1 {first.port} 1\nsentinel auth-pass main secret\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
    )
    sentinel = start_redis(sentinel=lines)
    use(f"redis+sentinel://:secret@127.0.0.1:{sentinel.port}/main/0")
    wait_until(_keeps_a_value, seconds=10)  # a sentinel that has just started does not know its master yet
    check_all_of_it()
    assert read_history() == stored_history()
    wait_until(lambda: second.client().dbsize() == first.client().dbsize(), seconds=10)
    wait_until(lambda: sentinel.client().execute_command("SENTINEL REPLICAS", "main"), seconds=15)
    first.kill()
    item(40).save()
    assert read_history() == stored_history()
    wait_until(lambda: _is_master(second), seconds=30)
    _wait_until_used()
    assert read_history() == stored_history()
    with queries() as asked:
        read_history()
    assert not asked.captured_queries


def _is_master(server: RedisServer) -> bool:
    """The sentinel closes all connections of a replica when it promotes it (`CLIENT KILL TYPE normal`)."""
    try:
        return bool(server.client().info("replication")["role"] == "master")
    except redis.ConnectionError:
        return False


def _keeps_a_value() -> bool:
    django_cache.set("ready", 1)
    return bool(django_cache.get("ready") == 1)


def _wait_until_used() -> None:
    cache = history.cache_of("memory")
    assert cache is not None
    wait_until(lambda: not breaker_of(cache.client).is_open, seconds=10)
