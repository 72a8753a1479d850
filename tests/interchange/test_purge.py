"""`memory_purge` deletes expired records, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from memory.models import AgentData, MemoryItem
from memory.querysets import records

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NO_KEYS = "IdempotencyKey: 0 deleted"
PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


def purge(*options: str) -> str:
    said = io.StringIO()
    call_command("memory_purge", *options, stdout=said)
    return said.getvalue()


def test_purge(
    make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired records are deleted, in any number of steps; a dry run only counts them."""
    monkeypatch.setattr(records, "ROWS_AT_ONCE", 2)
    for expiration in [PAST] * 5 + [None, FUTURE]:
        make_item(expiration=expiration)
    make_agent_data(expiration=PAST)
    make_agent_data()
    assert purge("--dry-run").splitlines() == ["MemoryItem: 5 would be deleted", "AgentData: 1 would be deleted"]
    assert MemoryItem.all_objects.count() == 7
    assert purge().splitlines() == ["MemoryItem: 5 deleted", "AgentData: 1 deleted", NO_KEYS]
    assert {item.expiration for item in MemoryItem.all_objects.all()} == {None, FUTURE}
    assert AgentData.all_objects.count() == 1
    assert purge().splitlines() == ["MemoryItem: 0 deleted", "AgentData: 0 deleted", NO_KEYS]
