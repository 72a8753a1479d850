"""Redis fails in every way it knows: the service goes on with the database, fast, and finds back by itself."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.cache import cache as django_cache
from django.db import connections

from memory import breaker, history
from memory.cache import ConversationCache
from memory.models import MemoryItem
from memory.testing.redis import RedisServer
from tests.faults.tcp import Proxy

from .test_history import item, queries, told, truth

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

MOST_EXTRA_SECONDS = 0.25
SLACK_SECONDS = 0.1  # of this machine, for the database's part
MOST_RECOVERY_SECONDS = 5.0
GUARDED = {"REDIS_CLIENT_CLASS": "memory.redis.GuardedRedis", "SERIALIZER": "memory.redis.TolerantJSONSerializer"}

Use = Callable[..., ConversationCache]
Start = Callable[..., RedisServer]


@contextmanager
def refused(server: RedisServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


@contextmanager
def turned_into_a_replica(server: RedisServer) -> Iterator[None]:
    with RedisServer() as other:
        server.client().execute_command("REPLICAOF", "127.0.0.1", other.port)
        _wait_until(lambda: server.client().info("replication")["master_link_status"] == "up")
        yield
        server.client().execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def unable_to_save(server: RedisServer) -> Iterator[None]:
    """The disk is full: writes are refused with MISCONF."""
    client = server.client()
    client.config_set("save", "3600 1")
    client.config_set("dbfilename", "dump.rdb")
    (server.folder / "dump.rdb").mkdir()
    (server.folder / "dump.rdb" / "full").touch()
    client.bgsave()
    _wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    client.config_set("save", "")


@contextmanager
def password_changed(server: RedisServer) -> Iterator[None]:
    server.client().config_set("requirepass", "new")
    server.client(password="new").execute_command("CLIENT", "KILL", "TYPE", "normal")
    yield
    server.client(password="new").config_set("requirepass", "")


FAULTS = [refused, paused, turned_into_a_replica, unable_to_save, password_changed]


def _wait_until(condition: Callable[[], object], seconds: float = 10.0) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)
    return time.monotonic() - begun


def _timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_request_a_moment(
    use_redis: Use, start_redis: Start, fault: Callable[[RedisServer], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Writes and reads succeed; the first waits 250 ms at most, later ones not at all; then Redis is used again."""
    server = start_redis()
    cache = use_redis(server, strict=True, **GUARDED)
    item(1).save()
    assert told() == truth()
    usual = min(_timed(item(10 + number).save) for number in range(3))
    caplog.clear()
    with fault(server):  # type: ignore[attr-defined]
        assert _timed(item(2).save) < usual + MOST_EXTRA_SECONDS + SLACK_SECONDS
        assert cache.breaker.is_open
        for number in range(3, 6):
            assert _timed(item(number).save) < usual + SLACK_SECONDS
            assert _timed(lambda: told() == truth()) < SLACK_SECONDS
        assert told() == truth()
        assert _timed(lambda: django_cache.get("key")) < SLACK_SECONDS / 2
        assert django_cache.get("key", "default") == "default"
        django_cache.set("key", 1)
    assert _wait_until(lambda: not cache.breaker.is_open) < MOST_RECOVERY_SECONDS
    assert told() == truth()
    assert told() == truth()
    with queries() as asked:
        history.recent("ada", "chat", 20)
    assert not asked.captured_queries
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2, lines
    assert "not used" in lines[0]
    assert "used again" in lines[1]


def test_a_reader_finds_a_fault_as_fast(use_redis: Use, start_redis: Start) -> None:
    """It need not be a write that meets the fault first."""
    server = start_redis()
    use_redis(server, strict=True)
    item(1).save()
    told()
    server.pause()
    assert _timed(lambda: history.recent("ada", "chat", 20)) < MOST_EXTRA_SECONDS + SLACK_SECONDS
    assert _timed(lambda: history.recent("ada", "chat", 20)) < SLACK_SECONDS
    server.resume()


@pytest.mark.parametrize("fault", ["blackhole", "cut"])
def test_what_a_partition_hid_is_dropped_when_it_ends(
    use_redis: Use, start_redis: Start, fault: str, settings: object
) -> None:
    """A writer cut off from Redis drops what it changed before it trusts Redis again; others see it then, too."""
    server = start_redis()
    with Proxy(server.port) as proxy:
        elsewhere = use_redis(server, strict=True)
        item(1).save()
        assert told() == truth()
        here = use_redis(server, port=proxy.port, strict=True)
        getattr(proxy, fault)()
        item(2).save()
        assert here.breaker.is_open
        stale = elsewhere.look(history.Conversation("ada", "chat"), 9, "0" * 18).snapshots
        assert stale is not None
        assert len(stale) == 1, "the partition hides the write from those who see Redis"
        proxy.heal()
        assert _wait_until(lambda: not here.breaker.is_open) < MOST_RECOVERY_SECONDS
        assert elsewhere.look(history.Conversation("ada", "chat"), 9, "0" * 18, fill=False).snapshots is None
        assert told() == truth()


def test_staleness_ends_with_the_ttl_even_if_the_writer_dies(
    use_redis: Use, start_redis: Start, settings: object
) -> None:
    """What a process took with it that never came back is told for `CACHE_TTL` at most, though others keep writing."""
    settings.MEMORY = {**settings.MEMORY, "CACHE_TTL": 2}  # type: ignore[attr-defined]
    use_redis(start_redis())
    item(1).save()
    begun = time.monotonic()
    told()
    with connections["memory"].cursor() as cursor:  # nobody is told of this
        cursor.execute("UPDATE memory_items SET text_content = 'hidden'")
    assert history.recent("ada", "chat", 1)[0].text_content == "text 1"
    item(0).save()
    assert history.recent("ada", "chat", 1)[0].text_content == "text 1"
    _wait_until(lambda: history.recent("ada", "chat", 1)[0].text_content == "hidden")
    assert time.monotonic() - begun < 2.5


ANSWERS = {
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "status": b"+OK\r\n",
    "zero": b":0\r\n",
    "nothing": b"$-1\r\n",
    "no number": b":abc\r\n",
    "no length": b"$abc\r\n",
    "empty": b"*0\r\n",
    "array": b"*2\r\n$3\r\nhit\r\n$1\r\n0\r\n",
    "nested": b"*4\r\n$3\r\nhit\r\n$1\r\n1\r\n$1\r\nx\r\n*1\r\n$4\r\n\xff\xfe{]\r\n",
    "null array": b"*-1\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n",
    "error": b"-ERR unknown command\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "boolean": b"#t\r\n",
    "big": b"$999999999999\r\nx\r\n",
}


class FakeRedis:
    """Speaks something like Redis' protocol: one answer to everything."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    commands = max(1, data.count(b"\r\n*") + data.startswith(b"*"))
                    connection.sendall(self._answer * commands)
            except OSError:
                return

    def __enter__(self) -> FakeRedis:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize("answer", ANSWERS)
def test_garbage_is_no_answer(use_redis: Use, redis_server: RedisServer, answer: str) -> None:
    """Whatever is answered, everything succeeds on the database, and the cache framework tells misses."""
    with FakeRedis(ANSWERS[answer]) as fake:
        cache = use_redis(redis_server, port=fake.port, strict=True, **GUARDED)
        try:
            assert _timed(item(1).save) < MOST_EXTRA_SECONDS + 2 * SLACK_SECONDS
            MemoryItem.objects.bulk_create([item(2), item(3, session_id="other")])
            MemoryItem.objects.filter(id="item-001").update(item_type="fact")
            assert told() == truth()
            assert history.session("ada", "chat") is not None
            django_cache.set("key", [1])
            django_cache.get("key")
            django_cache.delete("key")
        finally:
            cache.breaker.stop()


def test_what_cannot_be_remembered_empties_the_cache(
    use_redis: Use, start_redis: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many changes in an outage to remember each: then all conversations are dropped before Redis is trusted."""
    monkeypatch.setattr(breaker, "MOST_REMEMBERED", 3)
    server = start_redis()
    cache = use_redis(server, strict=True)
    item(1, session_id="untouched").save()
    told("untouched")
    server.pause()
    MemoryItem.objects.bulk_create([item(number, session_id=f"chat {number}") for number in range(10, 15)])
    server.resume()
    _wait_until(lambda: not cache.breaker.is_open)
    assert cache.stats().conversations == 0


def test_a_fork_probes_by_itself(use_redis: Use, start_redis: Start) -> None:
    """A process forked while Redis is away uses it when it is back, as its parent does."""
    server = start_redis()
    cache = use_redis(server, strict=True)
    server.kill()
    item(1).save()
    assert cache.breaker.is_open
    child = os.fork()
    if child == 0:
        try:
            deadline = time.monotonic() + 15
            while cache.breaker.is_open and time.monotonic() < deadline:
                with breaker_closed_or_not():
                    cache.breaker.call(lambda: None)
                time.sleep(0.05)
        finally:
            os._exit(1 if cache.breaker.is_open else 0)
    server.start()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def breaker_closed_or_not() -> Iterator[None]:
    try:
        yield
    except breaker.Unavailable:
        return
