"""What is left of deleted rows: copies of conversations in Redis."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

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
