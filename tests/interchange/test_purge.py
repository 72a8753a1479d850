"""`memory_purge` deletes expired records, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from memory.models import AgentCheckpoint, AgentData, AgentPart, AgentWrites, MemoryItem
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


def test_checkpoints_of_idle_threads_are_purged() -> None:
    """On request: whole threads whose latest checkpoint is old, with their writes and parts; a dry run counts them."""
    now = timezone.now()
    for user, thread, days in (("ada", "old", 100), ("ada", "old", 95), ("ada", "new", 100), ("ada", "new", 1)):
        about = {"user_id": user, "thread_id": thread}
        key = f"{1_000 - days:04}"
        created = now - timedelta(days=days)
        AgentCheckpoint.objects.create(id=thread + key, place=thread, checkpoint_id=key, created=created, **about)
        AgentWrites.objects.create(id=thread + key, checkpoint=thread + key, task_id="t", **about)
        AgentPart.objects.create(**about)
    AgentCheckpoint.objects.create(
        id="bob", user_id="bob", thread_id="old", place="bob", checkpoint_id="x", created=now
    )
    assert (
        purge("--checkpoints", "90", "--dry-run").splitlines()[-1] == "Threads: the checkpoints of 1 would be deleted"
    )
    with pytest.raises(CommandError, match="invalid days value"):
        purge("--checkpoints", "999999999999999")
    assert AgentCheckpoint.objects.count() == 5
    assert purge().splitlines()[-1] == NO_KEYS
    assert purge("--checkpoints", "90").splitlines()[-1] == "Threads: the checkpoints of 1 deleted"
    for model, left in ((AgentCheckpoint, 3), (AgentWrites, 2), (AgentPart, 2)):
        assert model.objects.count() == left
        assert not model.objects.filter(user_id="ada", thread_id="old").exists()
