"""What the verbs of a store cost on Firestore, counted on the wire: calls, documents read, written and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import override_settings

from memory.models import MemoryItem
from memory.stores import FirestoreMemoryManager, MemoryManager
from tests.cache.conftest import use_redis as use_redis
from tests.cache.test_cost import ALIAS, Bill
from tests.cache.test_cost import bill as bill

pytestmark = [pytest.mark.redis, pytest.mark.firestore_emulator]

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ITEMS = [
    MemoryItem(
        id=f"{session}{number}",
        user_id="ada",
        session_id=session,
        item_type="message",
        timestamp=START + timedelta(hours=number),
        metadata={"n": number},
    )
    for session in ("a", "b")
    for number in range(3)
]


@pytest.fixture
def manager(bill: Bill) -> Iterator[MemoryManager]:
    """A store with two sessions of three items each, and no cache."""
    with override_settings(MEMORY={**settings.MEMORY, "CACHE": None}):
        manager = FirestoreMemoryManager(using=ALIAS)
        manager.initialize()
        async_to_sync(manager.add_memory_items)(ITEMS)
        yield manager
        manager.close()


Call = Callable[[MemoryManager], Any]
COSTS: dict[str, tuple[Call, dict[str, int], int, int, int]] = {
    "batch get": (lambda m: m.get_memory_items(["a0", "b1", "none"]), {"BatchGetDocuments": 1}, 3, 0, 0),
    "update": (
        lambda m: m.update_memory_item("a1", {"item_type": "fact"}),
        {"BeginTransaction": 1, "GetDocument": 1, "Commit": 1},
        1,
        2,
        0,
    ),
    "merge": (
        lambda m: m.update_memory_item("a1", {"metadata": {"x": 1}}, merge_metadata=True),
        {"BeginTransaction": 1, "GetDocument": 1, "Commit": 1},
        1,
        2,
        0,
    ),
    "update of nothing": (
        lambda m: m.update_memory_item("none", {"item_type": "fact"}),
        {"BeginTransaction": 1, "GetDocument": 1, "Rollback": 1},
        1,
        0,
        0,
    ),
    "delete": (lambda m: m.delete_memory_item("a1"), {"BeginTransaction": 1, "GetDocument": 3, "Commit": 1}, 3, 0, 1),
    "delete of a session's last item": (
        lambda m: m.delete_memory_item("a2"),
        {"BeginTransaction": 1, "GetDocument": 3, "RunQuery": 2, "Commit": 1},
        7,
        1,
        1,
    ),
    "delete of nothing": (
        lambda m: m.delete_memory_item("none"),
        {"BeginTransaction": 1, "GetDocument": 1, "Rollback": 1},
        1,
        0,
        0,
    ),
    "forget a session": (
        lambda m: m.forget("ada", "a"),
        {"BeginTransaction": 1, "GetDocument": 1, "RunQuery": 1, "Commit": 1},
        4,
        0,
        4,
    ),
    "forget by time": (
        lambda m: m.forget("ada", filters={"timestamp": START + timedelta(hours=1)}),
        {"RunQuery": 1, "BeginTransaction": 1, "BatchGetDocuments": 3, "Commit": 1},
        8,
        0,
        2,
    ),
    "forget by metadata": (
        lambda m: m.forget("ada", "a", filters={"metadata__n": 1}),
        {"RunQuery": 1, "BeginTransaction": 1, "GetDocument": 3, "Commit": 1},
        6,
        0,
        1,
    ),
    "list sessions": (lambda m: m.list_sessions("ada"), {"RunQuery": 1}, 2, 0, 0),
    "oldest first": (lambda m: m.get_conversation_history("ada", "a", 2, oldest_first=True), {"RunQuery": 1}, 2, 0, 0),
    "delete a user": (
        lambda m: m.delete_user("ada"),
        {"RunQuery": 13, "BeginTransaction": 3, "BatchGetDocuments": 6, "Commit": 2, "Rollback": 1},
        46,
        0,
        8,
    ),
}
"""A verb, its calls by method, and the documents that it reads, writes and deletes."""


@pytest.mark.parametrize("name", COSTS)
def test_a_verb_costs_this(manager: MemoryManager, bill: Bill, name: str) -> None:
    """Exactly."""
    call, calls, read, written, deleted = COSTS[name]

    async def called() -> None:
        await call(manager)

    bill.clear()
    async_to_sync(called)()
    assert (dict(bill.calls), bill.read, len(bill.written), len(bill.deleted)) == (calls, read, written, deleted)
