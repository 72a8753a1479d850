"""What is left of deleted rows: copies of conversations in Redis."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from memory import breaker
from memory.breaker import Unavailable
from memory.exceptions import ConnectionError
from memory.lifecycle import caches, erasure
from memory.lifecycle.erasure import erase
from memory.lifecycle.scrubbing import forget_snapshots
from memory.models import MemoryItem
from memory.stores.redis import RedisClient

pytestmark = [pytest.mark.redis, pytest.mark.django_db(databases=["default", "memory"], transaction=True)]


def test_stored_conversations_of_a_person_are_deleted(use_redis: Any, redis_server: Any) -> None:
    """Those that a `RedisClient` keeps, whatever characters the ids have; nothing of others."""
    use_redis(redis_server).clear()
    client = RedisClient()
    client.initialize()
    people = ("ada", "ad*", "ada:x", "__ada", "adam", "ada%")
    for user in people:
        for session in ("s", "t:*"):
            item = MemoryItem(user_id=user, session_id=session, item_type="message", text_content="hi")
            assert async_to_sync(client.set_history)(user, session, [item])
    assert forget_snapshots("ad*") == 2
    erase("ada")
    for user in people:
        found = [async_to_sync(client.get_history)(user, session) for session in ("s", "t:*")]
        assert [one is None for one in found] == [user in ("ada", "ad*")] * 2
    client.close()


def test_a_long_scan_does_not_open_the_circuit(
    use_redis: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: a Redis with many keys is not one that is down, or no erasure would end."""
    cache = use_redis(redis_server)
    monkeypatch.setattr(breaker, "SLOW_SECONDS", 0.0)
    assert forget_snapshots("ada") == 0
    assert not list(cache._scan("*:state"))
    assert not cache.breaker.is_open


def test_a_redis_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an erasure that waits; one that does not says so at once."""
    answers = [Unavailable("down")] * 2
    forget = caches.forget_snapshots

    def fails_twice(user_id: str) -> int:
        if answers:
            raise answers.pop()
        return forget(user_id)

    monkeypatch.setattr(caches, "forget_snapshots", fails_twice)
    with pytest.raises(ConnectionError):
        erase("ada", wait=False)
    assert erase("ada").state is erasure.State.FINISHED
    assert not answers
