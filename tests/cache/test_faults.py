"""Redis failures: the service continues with the database, stays fast, and recovers by itself."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from django.core.cache import cache as django_cache

from memory import breaker, history
from memory.cache import Conversation, ConversationCache
from memory.history import cache_of
from memory.models import MemoryItem
from memory.testing.redis import RedisServer
from tests.faults.tcp import Proxy
from tests.waiting import wait_until

from .test_history import behind_the_cache, item, queries, read_history, stored_history

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

MOST_EXTRA_SECONDS = 0.25
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
        wait_until(lambda: server.client().info("replication")["master_link_status"] == "up")
        yield
        server.client().execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def unable_to_save(server: RedisServer) -> Iterator[None]:
    """The disk is full: writes are refused with MISCONF."""
    client = server.client()
    client.config_set("save", "3600 1")
    (server.folder / "dump.rdb").mkdir()
    (server.folder / "dump.rdb" / "full").touch()
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    client.config_set("save", "")


@contextmanager
def password_changed(server: RedisServer) -> Iterator[None]:
    server.client().config_set("requirepass", "new")
    server.client(password="new").execute_command("CLIENT", "KILL", "TYPE", "normal")
    yield
    server.client(password="new").config_set("requirepass", "")


@contextmanager
def loading(server: RedisServer) -> Iterator[None]:
    """Redis restarts with so much data that it returns LOADING for seconds."""
    with server.client() as client:
        client.mset({f"ballast {number}": os.urandom(300_000) for number in range(60)})
        client.save()
    server.kill()
    server._options |= {"key_load_delay": "50000"}  # microseconds
    starting = threading.Thread(target=server.start)
    starting.start()
    wait_until(lambda: _is_loading(server))
    yield
    starting.join()


def _is_loading(server: RedisServer) -> bool:
    try:
        server.client(socket_timeout=5).ping()  # it looks up from loading every 2 MB
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    raise AssertionError("It has loaded already.")


FAULTS = [refused, paused, turned_into_a_replica, unable_to_save, password_changed, loading]


@dataclass
class Toll:
    """The calls to Redis of the test's own thread, and the seconds of the timeouts that ended some of them."""

    calls: int = 0
    seconds: float = 0.0

    @property
    def is_bounded(self) -> bool:
        """Whether Redis was called, and the calls waited in vain for no longer than is promised."""
        return self.calls > 0 and self.seconds <= MOST_EXTRA_SECONDS

    def taken_by(self, action: Callable[[], object]) -> Toll:
        """The toll of one action."""
        calls, seconds = self.calls, self.seconds
        action()
        return Toll(self.calls - calls, self.seconds - seconds)


@pytest.fixture
def toll(monkeypatch: pytest.MonkeyPatch) -> Toll:
    """Counted on the connections by their timeouts, so that the time of a busy machine does not count."""
    toll, mine, inside = Toll(), threading.get_ident(), False

    def measured(call: Callable[..., Any], timeout: str) -> Callable[..., Any]:
        def measuring(connection: redis.Connection, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside or threading.get_ident() != mine:
                return call(connection, *args, **kwargs)
            inside = True
            toll.calls += 1
            try:
                return call(connection, *args, **kwargs)
            except redis.TimeoutError:
                toll.seconds += getattr(connection, timeout)
                raise
            finally:
                inside = False

        return measuring

    for name, timeout in (
        ("connect", "socket_connect_timeout"),
        ("send_packed_command", "socket_timeout"),
        ("read_response", "socket_timeout"),
    ):
        kind = next(each for each in redis.Connection.__mro__ if name in vars(each))
        monkeypatch.setattr(kind, name, measured(vars(kind)[name], timeout))
    return toll


def use_the_cache_framework() -> None:
    """Like throttles and sessions do."""
    assert django_cache.get("key", "default") == "default"
    django_cache.set("key", 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_request_a_moment(
    use_redis: Use,
    start_redis: Start,
    fault: Callable[[RedisServer], AbstractContextManager[None]],
    toll: Toll,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All calls succeed; the first waits at most 250 ms, later ones skip Redis; after recovery Redis is used again."""
    server = start_redis()
    cache = use_redis(server, strict=True, **GUARDED)
    item(1).save()
    assert read_history() == stored_history()
    assert toll.taken_by(read_history).calls > 0
    caplog.clear()
    with fault(server):
        first = toll.taken_by(item(2).save)
        assert first.is_bounded
        assert cache.breaker.is_open
        for action in (item(3).save, item(4).save, read_history, use_the_cache_framework):
            assert toll.taken_by(action) == Toll()
        assert read_history() == stored_history()
    assert wait_until(lambda: not cache.breaker.is_open) < MOST_RECOVERY_SECONDS
    assert read_history() == stored_history()
    assert read_history() == stored_history()
    with queries() as asked:
        history.recent("ada", "chat", 20)
    assert not asked.captured_queries
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2, lines
    assert "not used" in lines[0]
    assert "used again" in lines[1]


def test_a_redis_without_memory_costs_nobody_time(
    use_redis: Use, start_redis: Start, toll: Toll, caplog: pytest.LogCaptureFixture
) -> None:
    """A full Redis still reads and deletes, so it stays in use; other conversations come from the database."""
    server = start_redis(maxmemory_policy="noeviction")
    cache = use_redis(server, strict=True, **GUARDED)
    item(1).save()
    assert read_history() == stored_history()
    server.client().config_set("maxmemory", "1")
    caplog.clear()
    for number in range(2, 6):
        for action in (item(number).save, read_history, use_the_cache_framework):
            assert toll.taken_by(action).seconds == 0
        assert read_history() == stored_history()
    assert not cache.breaker.is_open
    assert not caplog.records
    server.client().config_set("maxmemory", "0")
    read_history()
    with queries() as asked:
        assert read_history() == stored_history()
    assert len(asked.captured_queries) == 1, "the query of stored_history(): the history is cached again"


def test_a_long_outage_is_settled_soon_after_redis_is_back(use_redis: Use, start_redis: Start) -> None:
    """Any number of conversations written meanwhile is dropped in batches."""
    server = start_redis()
    cache = use_redis(server, strict=True, **GUARDED)
    cache.breaker.call(lambda: None)
    server.pause()
    cache.breaker.forget_later([f"memory:h:{{{number}}}:state" for number in range(breaker.MOST_REMEMBERED)])
    assert cache.breaker.is_open
    server.resume()
    assert wait_until(lambda: not cache.breaker.is_open) < MOST_RECOVERY_SECONDS


def test_a_reader_finds_a_fault_as_fast(use_redis: Use, start_redis: Start, toll: Toll) -> None:
    """A read that meets the fault first is delayed no longer than a write."""
    server = start_redis()
    use_redis(server, strict=True)
    item(1).save()
    read_history()
    server.pause()
    assert toll.taken_by(read_history).is_bounded
    assert toll.taken_by(read_history) == Toll()
    server.resume()


@pytest.mark.parametrize("fault", ["blackhole", "cut"])
def test_what_a_partition_hid_is_dropped_when_it_ends(
    use_redis: Use, start_redis: Start, fault: str, settings: object
) -> None:
    """A writer cut off from Redis drops the conversations that it changed before it uses Redis again."""
    server = start_redis()
    with Proxy(server.port) as proxy:
        elsewhere = use_redis(server, strict=True)
        item(1).save()
        assert read_history() == stored_history()
        here = use_redis(server, port=proxy.port, strict=True)
        getattr(proxy, fault)()
        item(2).save()
        assert here.breaker.is_open
        stale = elsewhere.look(Conversation("ada", "chat"), 9, "0" * 18).snapshots
        assert stale is not None
        assert len(stale) == 1, "the partition hides the write from those who see Redis"
        proxy.heal()
        assert wait_until(lambda: not here.breaker.is_open) < MOST_RECOVERY_SECONDS
        assert elsewhere.look(Conversation("ada", "chat"), 9, "0" * 18, fill=False).snapshots is None
        assert read_history() == stored_history()


def test_staleness_ends_with_the_ttl_even_if_the_writer_dies(
    use_redis: Use, start_redis: Start, settings: object
) -> None:
    """Changes of a writer that died stay invisible for at most `CACHE_TTL`, even if others keep writing."""
    settings.MEMORY = {**settings.MEMORY, "CACHE_TTL": 2}  # type: ignore[attr-defined]
    use_redis(start_redis())
    item(1).save()
    begun = time.monotonic()
    read_history()
    behind_the_cache().update(text_content="hidden")
    assert history.recent("ada", "chat", 1)[0].text_content == "text 1"
    item(0).save()
    assert history.recent("ada", "chat", 1)[0].text_content == "text 1"
    wait_until(lambda: history.recent("ada", "chat", 1)[0].text_content == "hidden")
    assert time.monotonic() - begun < 2 + MOST_RECOVERY_SECONDS


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
    """A fake Redis that sends the same reply to every command."""

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
def test_garbage_is_no_answer(use_redis: Use, redis_server: RedisServer, toll: Toll, answer: str) -> None:
    """For any reply, all operations succeed on the database, and the cache framework returns misses."""
    with FakeRedis(ANSWERS[answer]) as fake:
        cache = use_redis(redis_server, port=fake.port, strict=True, **GUARDED)
        try:
            assert toll.taken_by(item(1).save).is_bounded
            MemoryItem.objects.bulk_create([item(2), item(3, session_id="other")])
            MemoryItem.objects.filter(id="item-001").update(item_type="fact")
            assert read_history() == stored_history()
            assert history.session("ada", "chat") is not None
            django_cache.set("key", [1])
            django_cache.get("key")
            django_cache.delete("key")
        finally:
            cache.breaker.stop()


def test_what_cannot_be_remembered_empties_the_cache(
    use_redis: Use, start_redis: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many changes in an outage to remember each: then all conversations are dropped before Redis is trusted.

    Only those below the cache's own prefix and version; other keys that changed are dropped one by one.
    """
    monkeypatch.setattr(breaker, "MOST_REMEMBERED", 3)
    server = start_redis()
    cache = use_redis(server, strict=True)
    item(1, session_id="untouched").save()
    read_history("untouched")
    foreign = [
        "memory:notes",
        "shop:1:memory:cart",
        "shop:1:memory:h:{0}:state",
        f"x{django_cache.make_key('memory:h:')}",
    ]
    for key in (*foreign, "a-session", "another-session"):
        server.client().set(key, "old")
    server.pause()
    cache.breaker.forget_later(["a-session"])
    MemoryItem.objects.bulk_create([item(number, session_id=f"chat {number}") for number in range(10, 15)])
    cache.breaker.forget_later(["another-session"])
    server.resume()
    wait_until(lambda: not cache.breaker.is_open)
    assert cache.stats().conversations == 0
    kept = [key for key in (*foreign, "a-session", "another-session") if server.client().exists(key)]
    assert kept == foreign


def test_a_fork_probes_by_itself(use_redis: Use, start_redis: Start) -> None:
    """A process forked while Redis is unavailable uses it after recovery, like its parent."""
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


def test_a_prefix_of_special_characters_is_no_pattern(use_redis: Use, start_redis: Start, settings: Any) -> None:
    """`KEY_PREFIX` "app*" names the keys of its own cache alone: `clear` deletes those of no other application."""
    server = start_redis()
    use_redis(server)
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": "[a]pp*"}}
    cache = cache_of("memory")
    assert cache is not None
    item(1, session_id="chat").save()
    read_history("chat")
    foreign = ["apple:1:memory:h:{0}:state", "[a]pple:1:memory:h:{0}:order"]
    for key in foreign:
        server.client().set(key, "kept")
    assert cache.stats().conversations == 1
    assert cache.clear() > 0
    assert cache.stats().conversations == 0
    assert all(server.client().exists(key) for key in foreign)
