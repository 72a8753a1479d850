"""The stores of the specification against real backends: `./run_integration_tests.sh`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from memory.exceptions import ConnectionError
from memory.models import MemoryItem, UserSession
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager, RedisClient
from memory.testing.contract import MemoryManagerContract, wait
from tests.faults.tcp import Proxy

from .targets import Targets


class TestFirestore(MemoryManagerContract):
    """The contract, on Firestore alone."""

    @pytest.fixture
    def manager(self, firestore_options: dict[str, Any]) -> Iterator[MemoryManager]:
        """One on the database of the tests."""
        manager = FirestoreMemoryManager(**firestore_options)
        manager.initialize()
        yield manager
        manager.close()


class TestFirestoreAndRedis(MemoryManagerContract):
    """The contract, with conversations read through Redis."""

    @pytest.fixture
    def manager(self, firestore_options: dict[str, Any], redis_cache: object) -> Iterator[MemoryManager]:
        """One on both."""
        manager = ConcreteMemoryManager(**firestore_options)
        manager.initialize()
        yield manager
        manager.close()


def test_the_specifications_first_example(firestore_options: dict[str, Any], namespace: str) -> None:
    """A manager, a record, its id; and another process' manager finds it again."""

    async def main() -> str:
        firestore = FirestoreMemoryManager(**firestore_options)
        firestore.initialize()
        memory_item = MemoryItem(user_id=namespace, session_id="s", item_type="message", text_content="Hello.")
        item_id = await firestore.add_memory_item(memory_item)
        firestore.close()
        return item_id

    item_id = asyncio.run(main())
    other = FirestoreMemoryManager(**firestore_options)
    other.initialize()
    found = wait(other.get_memory_item, item_id)
    assert found is not None
    assert found.text_content == "Hello."
    assert UserSession.objects.using(other.alias).filter(user_id=namespace).count() == 1
    other.close()


def test_the_specifications_second_example(redis_options: dict[str, Any]) -> None:
    """A client, a key, a value with a ttl."""
    data = {"role": "user", "text": "Hello."}

    async def main() -> tuple[Any, bool, Any]:
        redis = RedisClient(**redis_options)
        redis.initialize()
        await redis.set("key", data, ttl=3600)
        found = await redis.get("key")
        deleted = await redis.delete("key")
        left = await redis.get("key")
        redis.close()
        return found, deleted, left

    assert asyncio.run(main()) == (data, True, None)


def test_without_redis_everything_goes_on(
    firestore_options: dict[str, Any], redis_cache: Callable[..., Any], namespace: str
) -> None:
    """No write before, during or after is lost; health reports `degraded` meanwhile."""
    manager = ConcreteMemoryManager(**firestore_options)
    manager.initialize()

    def say(text: str) -> list[str | None]:
        item = MemoryItem(user_id=namespace, session_id="s", item_type="message", text_content=text)
        wait(manager.add_memory_item, item)
        return [one.text_content for one in wait(manager.get_conversation_history, namespace, "s")]

    assert say("before") == ["before"]
    assert wait(manager.health_check)["status"] == "ok"
    with redis_cache(LOCATION="redis://127.0.0.1:1/0"):
        assert say("during") == ["during", "before"]
        health = wait(manager.health_check)
        assert health["status"] == "degraded"
        assert health["components"] == {"storage_firestore": True, "storage_redis": False}
    manager.close()


def test_without_firestore_there_is_an_error(real: Targets, firestore_options: dict[str, Any]) -> None:
    """`ConnectionError`, from `initialize()` on, within the deadline."""
    if real.firestore is not None:
        pytest.skip("a real Firestore is not taken away")
    away = FirestoreMemoryManager(project_id="nobody-is-there", host="127.0.0.1:1")
    with pytest.raises(ConnectionError):
        away.initialize()


def seconds(way: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """How long a coroutine takes."""
    start = time.perf_counter()
    asyncio.run(way())
    return time.perf_counter() - start


def test_a_hundred_awaits_overlap(real: Targets, firestore_options: dict[str, Any], namespace: str) -> None:
    """With a latency of 20 ms, all together take less than half of one after the other."""
    if real.firestore is not None:
        pytest.skip("a real network has a latency of its own")
    port = int(firestore_options["host"].rpartition(":")[2])
    with Proxy(port) as proxy:
        proxy.delay = 0.01  # each way
        far = FirestoreMemoryManager(f"{firestore_options['project_id']}-far", host=f"127.0.0.1:{proxy.port}")
        far.initialize()

        async def one_by_one() -> None:
            for number in range(100):
                await far.get_memory_item(f"{namespace}-{number}")

        async def together() -> None:
            await asyncio.gather(*(far.get_memory_item(f"{namespace}-{number}") for number in range(100)))

        alone = seconds(one_by_one)
        at_once = min(seconds(together) for _ in range(3))  # the best run is the least affected by other work
        far.close()
    assert alone > 2.0
    assert at_once < 0.5 * alone
