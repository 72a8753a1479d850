"""What a turn of ADK costs on Firestore, counted on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from google.adk.events.event import Event
from google.genai.types import Content, Part

from memory.adapters.adk import DjangoSessionService
from tests.cache.conftest import use_redis as use_redis
from tests.cache.test_cost import ALIAS, Bill
from tests.cache.test_cost import bill as bill

pytestmark = [pytest.mark.redis, pytest.mark.firestore_emulator]

WHO: Any = {"app_name": "guide", "user_id": "ada", "session_id": "trip"}


def said(text: str, state: dict[str, Any]) -> Event:
    """An event with a text, which changes state."""
    return Event(author="user", content=Content(role="user", parts=[Part(text=text)]), state=state)


def test_a_turn_reads_as_much_at_any_length(bill: Bill) -> None:
    """With the cache: the rows of the session and the states, not the events. The first read fills the cache."""

    async def turn(number: int) -> int:
        service = DjangoSessionService(using=ALIAS)
        session = await service.get_session(**WHO)
        assert session is not None
        await service.append_event(session, said(f"question {number}", {"turn": number}))
        await service.append_event(session, said(f"answer {number}", {"user:turns": number}))
        return len(session.events)

    async_to_sync(DjangoSessionService(using=ALIAS).create_session)(**WHO)
    for number in range(2):
        async_to_sync(turn)(number)
    read = set()
    for number in range(2, 22):
        bill.clear()
        assert async_to_sync(turn)(number) == 2 * number + 2
        read.add(bill.read)
        assert bill.written.count("memory_items") == 2
    assert max(read) <= 7
