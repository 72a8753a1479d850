"""The cost of a chat turn, counted in calls to Firestore and Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis.connection
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import caches
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoDbBlocker

from memory import history
from memory.access.models import AccessToken
from memory.coherence import Changes
from memory.models import MemoryItem, UserSession
from memory.stores import ConcreteMemoryManager
from memory.testing.redis import RedisServer
from tests import databases
from tests.faults.meter import Bill, Meter

pytestmark = [
    pytest.mark.redis,
    pytest.mark.firestore_emulator,
]

ALIAS = "metered"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def bill(
    redis_server: RedisServer,
    use_redis: Callable[..., Any],
    firestore_emulator: str,
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bill]:
    """Count this test's calls to Firestore and Redis."""
    bill = Bill()
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        bill.round_trips += 1
        return send(self, *args, **kwargs)

    with (
        django_db_blocker.unblock(),
        Meter(firestore_emulator, bill) as meter,
        databases.firestore(ALIAS, meter.address, f"cost-{uuid.uuid4().hex[:12]}"),
    ):
        use_redis(redis_server).clear()
        monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)
        yield bill


def turn(number: int, after: timedelta = timedelta()) -> list[MemoryItem]:
    """A question and its answer, unsaved."""
    times = [START + after + timedelta(milliseconds=2 * number + answer) for answer in range(2)]
    return [MemoryItem(user_id="ada", session_id="chat", item_type="message", timestamp=time) for time in times]


def save_at_once(items: list[MemoryItem]) -> list[MemoryItem]:
    """Both items are written together and read through the history."""
    MemoryItem.objects.using(ALIAS).bulk_create(items)
    return history.recent("ada", "chat", 20, ALIAS)


def save_one_by_one(items: list[MemoryItem]) -> list[MemoryItem]:
    """Like a service that stores the question before it looks for the answer."""
    for item in items:
        item.save(using=ALIAS)
    return history.recent("ada", "chat", 20, ALIAS)


def settle(bill: Bill, take: Callable[[list[MemoryItem]], list[MemoryItem]]) -> list[MemoryItem]:
    """A cached conversation of 30 turns; all of its items."""
    items = [item for number in range(30) for item in turn(number)]
    MemoryItem.objects.using(ALIAS).bulk_create(items)
    history.recent("ada", "chat", 20, ALIAS)
    # What was not cached yet is billed, so the meter works.
    assert bill.read >= len(items)
    for number in range(30, 33):
        items += (new := turn(number))
        take(new)
    return items


@pytest.mark.parametrize(("take", "commits"), [(save_at_once, 1), (save_one_by_one, 2)])
def test_a_turn_reads_nothing_and_writes_its_items(
    bill: Bill, take: Callable[[list[MemoryItem]], list[MemoryItem]], commits: int
) -> None:
    """In steady state: no document reads, two writes, at most two calls and six round trips to Redis."""
    items = settle(bill, take)
    for number in range(33, 36):
        new = turn(number)
        items += new
        bill.clear()
        found = take(new)
        assert bill.read == 0
        assert bill.written == ["memory_items"] * 2
        assert bill.calls == {"Commit": commits}
        assert 0 < bill.round_trips <= 6
        assert [item.pk for item in found] == [item.pk for item in items[::-1][:20]]


@pytest.mark.parametrize(("take", "sessions"), [(save_at_once, 1), (save_one_by_one, 2)])
def test_a_turn_without_the_cache_reads_its_history_only(
    bill: Bill, take: Callable[[list[MemoryItem]], list[MemoryItem]], sessions: int
) -> None:
    """Twenty reads; the session's row is written with each commit. docs/production.md works out what that costs."""
    items = settle(bill, save_at_once)
    with override_settings(MEMORY={**settings.MEMORY, "CACHE": None}):
        bill.clear()
        found = take(items := [*items, *turn(40)][-2:])
    assert [item.pk for item in found[:2]] == [item.pk for item in items[::-1]]
    assert bill.read == 20
    assert sorted(bill.written) == ["memory_items"] * 2 + ["user_sessions"] * sessions


def test_a_turn_by_the_store_costs_no_more(bill: Bill) -> None:
    """Except for the one read by which a newly opened store checks that its database exists."""
    items = settle(bill, save_at_once)
    manager = ConcreteMemoryManager(using=ALIAS)
    manager.initialize()

    async def chat(new: list[MemoryItem]) -> list[MemoryItem]:
        await manager.add_memory_items(new)
        return await manager.get_conversation_history("ada", "chat", 20)

    try:
        for number in range(33, 36):
            items += (new := turn(number))
            bill.clear()
            found = async_to_sync(chat)(new)
            assert (bill.read, bill.written) == (0, ["memory_items"] * 2)
            assert sum(bill.calls.values()) <= 2
            assert 0 < bill.round_trips <= 6
            assert [item.pk for item in found] == [item.pk for item in items[::-1][:20]]
    finally:
        manager.close()


def test_a_session_is_touched_once_a_minute(bill: Bill) -> None:
    """A turn a minute after the last touch also writes the session's row; the next turn does not."""
    settle(bill, save_at_once)
    minute = timedelta(minutes=1)
    bill.clear()
    save_at_once(turn(40, minute))
    assert bill.written == ["memory_items"] * 2 + ["user_sessions"]
    assert bill.round_trips <= 6
    last = UserSession.objects.using(ALIAS).get(pk=UserSession.make_id("ada", "chat")).last_activity
    assert last == START + minute + timedelta(milliseconds=81)
    bill.clear()
    save_at_once(turn(41, minute))
    assert bill.written == ["memory_items"] * 2
    assert (bill.read, sum(bill.calls.values())) == (0, 1)


def test_a_bulk_write_looks_through_its_changes_once(bill: Bill, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many items and sessions it has: else its time would grow with their square."""
    calls: list[int] = []
    values = Changes._session_values

    def counted(self: Any, conversations: Any) -> Any:
        calls.append(len(conversations))
        return values(self, conversations)

    monkeypatch.setattr(Changes, "_session_values", counted)
    for _ in range(2):
        MemoryItem.objects.using(ALIAS).bulk_create(
            MemoryItem(user_id="ada", session_id=f"s{number % 10}", item_type="message") for number in range(60)
        )
    assert 0 < len(calls) <= 4
    assert max(calls) == 10
    assert history.session("ada", "s3", ALIAS) is not None


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_a_history_over_the_api(
    redis_server: RedisServer,
    use_redis: Callable[..., Any],
    make_user: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """A token's request: one query, for the token with its user; Redis counts it, and has the session and its items."""
    use_redis(redis_server).clear()
    caches["default"].clear()
    MemoryItem.objects.bulk_create(turn(0))
    token = AccessToken.objects.issue(make_user("ada"), last_used=timezone.now())[1]
    client, sent = Client(headers={"Authorization": f"Token {token}"}), []
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(args)
        return send(self, *args, **kwargs)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)
    for _ in range(2):
        sent.clear()
        with django_assert_num_queries(1, using="default"):
            answer = client.get("/api/sessions/ada:chat/history/")
    assert len(answer.json()["results"]) == 2
    assert len(sent) == 3
