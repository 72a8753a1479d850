"""A record's line has all values of the record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command

from memory.interchange.export import to_dict, to_json_line
from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_memory_item(make_item: Callable[..., MemoryItem]) -> None:
    """Every field but the derived hash, times to the microsecond, text as it is."""
    item = make_item(
        id="m 1",
        user_id="zoë",
        session_id="s",
        timestamp=NOON,
        text_content='two\nlines, "quoted", 猫 🐈',
        embedding=[0.1, -2.5e-308],
        metadata={"role": "user", "n": [1, None, {"x": 1.5}]},
        expiration=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    )
    assert to_dict(item) == {
        "model": "MemoryItem",
        "id": "m 1",
        "timestamp": "2026-03-01T12:00:00.123456Z",
        "metadata": {"role": "user", "n": [1, None, {"x": 1.5}]},
        "expiration": "9999-12-31T23:59:59.999999Z",
        "user_id": "zoë",
        "session_id": "s",
        "item_type": "message",
        "persona_active": None,
        "text_content": 'two\nlines, "quoted", 猫 🐈',
        "embedding": [0.1, -2.5e-308],
    }
    line = to_json_line(item)
    assert "\n" not in line
    assert "猫 🐈" in line
    assert json.loads(line) == to_dict(item)


def test_agent_data_and_sessions(
    make_agent_data: Callable[..., AgentData], make_item: Callable[..., MemoryItem]
) -> None:
    """The other two models have the same form."""
    assert to_dict(make_agent_data(id="d", content=[1, "x"], timestamp=NOON)) == {
        "model": "AgentData",
        "id": "d",
        "timestamp": "2026-03-01T12:00:00.123456Z",
        "metadata": {},
        "expiration": None,
        "agent_id": "planner",
        "data_type": "plan",
        "content": [1, "x"],
    }
    make_item(user_id="a:b", session_id="s", timestamp=NOON)
    assert to_dict(UserSession.objects.get()) == {
        "model": "UserSession",
        "id": "a%3Ab:s",
        "user_id": "a:b",
        "session_id": "s",
        "started_at": "2026-03-01T12:00:00.123456Z",
        "last_activity": "2026-03-01T12:00:00.123456Z",
        "metadata": {},
    }


def test_an_output_that_is_no_file_is_written_to(make_item: Callable[..., MemoryItem], tmp_path: Path) -> None:
    """A named pipe stays one, and its reader gets the lines."""
    make_item(text_content="Through a pipe.")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        call_command("memory_export", output=str(pipe), verbosity=0)
        assert '"text_content":"Through a pipe."' in read.result(10)
    assert pipe.is_fifo()
