"""`ConcreteMemoryManager` on a real Redis: conversations come from the cache, or else from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test import override_settings

from memory import breaker
from memory.models import MemoryItem
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager
from memory.testing.contract import MemoryManagerContract
from memory.testing.redis import RedisServer
from tests.watching import queries

pytestmark = pytest.mark.redis


@pytest.fixture
def use_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[RedisServer], Any]]:
    """Makes a server the project's cache; timeouts are long, since a busy machine is not the fault under test."""
    monkeypatch.setattr(breaker, "SLOW_SECONDS", 10.0)
    yield lambda server: override_settings(
        CACHES={"default": server.cache_settings(SOCKET_TIMEOUT=5, SOCKET_CONNECT_TIMEOUT=5)}
    )
    breaker.stop_all()


@pytest.fixture
def manager(file_database: str) -> Iterator[MemoryManager]:
    """A manager on a database whose transactions really commit."""
    manager = ConcreteMemoryManager(using=file_database)
    manager.initialize()
    yield manager
    manager.close()


@pytest.fixture
def cached(
    manager: MemoryManager, redis_server: RedisServer, use_redis: Callable[[RedisServer], Any]
) -> Iterator[MemoryManager]:
    """The manager with a Redis that the test must not break."""
    with use_redis(redis_server):
        yield manager


class TestContract(MemoryManagerContract):
    """The same contract, on SQLite and Redis."""

    @pytest.fixture
    def manager(self, cached: MemoryManager) -> MemoryManager:
        """A manager with a cache."""
        return cached


def item(text: str = "text") -> MemoryItem:
    """An unsaved item of one conversation."""
    return MemoryItem(user_id="ada", session_id="s", item_type="message", text_content=text)


def texts(manager: MemoryManager, limit: int = 20, **filters: Any) -> list[str | None]:
    """The conversation's texts."""
    found = async_to_sync(manager.get_conversation_history)("ada", "s", limit, filters or None)
    return [one.text_content for one in found]


def test_a_conversation_that_is_cached_is_not_read_from_the_database(cached: ConcreteMemoryManager) -> None:
    """The first read fills the cache; writes go through it."""
    add = async_to_sync(cached.add_memory_item)
    add(item("one"))
    assert texts(cached) == ["one"]
    assert queries(cached.alias, lambda: texts(cached)) == []
    add(item("two"))
    assert queries(cached.alias, lambda: texts(cached)) == []
    assert texts(cached) == ["two", "one"]


def test_a_filtered_history_comes_from_the_database(cached: ConcreteMemoryManager) -> None:
    """So does the history of all sessions."""
    async_to_sync(cached.add_memory_items)([item("one"), item("two")])
    assert len(queries(cached.alias, lambda: texts(cached, item_type="message"))) == 1
    assert len(texts(cached, item_type="message")) == 2
    assert len(async_to_sync(cached.get_conversation_history)("ada")) == 2


def test_a_manager_without_cache_invalidates_the_cache(cached: ConcreteMemoryManager) -> None:
    """Writes of every manager reach the cache, so managers may be mixed."""
    async_to_sync(cached.add_memory_item)(item("one"))
    assert texts(cached) == ["one"]
    plain = FirestoreMemoryManager(using=cached.alias)
    plain.initialize()
    async_to_sync(plain.add_memory_item)(item("two"))
    MemoryItem.objects.using(cached.alias).filter(text_content="one").update(text_content="ONE")
    assert texts(cached) == texts(plain) == ["two", "ONE"]
    plain.close()


def test_redis_goes_and_comes_back(
    manager: ConcreteMemoryManager, start_redis: Callable[..., RedisServer], use_redis: Callable[[RedisServer], Any]
) -> None:
    """No call fails and no write is lost meanwhile, and health reports the failure."""
    server = start_redis()
    add, health = async_to_sync(manager.add_memory_item), async_to_sync(manager.health_check)
    with use_redis(server):
        add(item("before"))
        assert health() == {
            "status": "ok",
            "components": {"storage_firestore": True, "storage_redis": True},
            "details": {},
        }
        server.kill()
        add(item("during"))
        assert texts(manager) == ["during", "before"]
        found = health()
        assert (found["status"], found["components"]["storage_redis"]) == ("degraded", False)
        assert "Redis" in found["details"]["storage_redis"]["failure"]
        manager.close()
        manager.initialize()  # not even starting needs Redis
        server.start()
        add(item("after"))
        assert texts(manager) == ["after", "during", "before"]


def test_a_project_without_redis(manager: ConcreteMemoryManager) -> None:
    """Works on the database alone, and says so."""
    async_to_sync(manager.add_memory_item)(item("one"))
    assert texts(manager) == ["one"]
    health = async_to_sync(manager.health_check)()
    assert (health["status"], health["details"]) == ("ok", {"storage_redis": {"engine": "none"}})


def test_a_database_that_is_away_is_unavailable(manager: ConcreteMemoryManager) -> None:
    """Health reports the failure, and does not raise."""
    connections[manager.alias].close()
    connections.databases[manager.alias]["NAME"] = "/nowhere/memory.sqlite3"
    health = async_to_sync(manager.health_check)()
    assert (health["status"], health["components"]["storage_firestore"]) == ("unavailable", False)
    assert "/nowhere" not in str(health)
