"""What a turn of the OpenAI Agents SDK costs on Firestore, counted on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from memory.adapters.openai_agents import DjangoSession
from tests.cache.conftest import use_redis as use_redis
from tests.cache.test_cost import ALIAS, Bill
from tests.cache.test_cost import bill as bill

pytestmark = [pytest.mark.redis, pytest.mark.firestore_emulator]


def test_a_turn_reads_no_document(bill: Bill) -> None:
    """With the cache, also by another object, as in a service that makes one for each request."""
    add: Any = async_to_sync(DjangoSession("chat", "ada", using=ALIAS).add_items)
    add([{"role": "user", "content": f"message {number}"} for number in range(60)])
    async_to_sync(DjangoSession("chat", "ada", using=ALIAS).get_items)()

    async def turn(number: int) -> list[Any]:
        session: Any = DjangoSession("chat", "ada", using=ALIAS)
        await session.get_items(limit=20)
        await session.add_items([{"role": "user", "content": f"question {number}"}])
        await session.add_items([{"role": "assistant", "content": f"answer {number}"}])
        found: list[Any] = await session.get_items(limit=20)
        return found

    async_to_sync(turn)(0)
    for number in range(1, 4):
        bill.clear()
        found = async_to_sync(turn)(number)
        assert bill.read == 0
        assert bill.written.count("memory_items") == 2
        assert bill.calls == {"Commit": 2}
        assert [one["content"] for one in found[-2:]] == [f"question {number}", f"answer {number}"]
