"""Imported records can be read, changed and deleted over the API."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from memory.exceptions import ValidationError
from memory.limits import RESERVED_IDS
from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

LINE = {"model": "MemoryItem", "user_id": "ada", "item_type": "note", "timestamp": "2026-01-02T03:04:05Z"}


def test_null_characters(tmp_path: Path, make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> None:
    """A record with null characters in its id, session and text is read, changed and deleted."""
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({**LINE, "id": "a\0b", "session_id": "s\0", "text_content": "x\0y"}))
    call_command("memory_import", str(path), stdout=io.StringIO())
    client = client_for(make_user("ada"))
    url = "/api/memory-items/" + quote("a\0b") + "/"
    assert client.get(url).json()["text_content"] == "x\0y"
    assert client.patch(url, {"item_type": "fact"}, format="json").status_code == 200
    assert MemoryItem.objects.get().item_type == "fact"
    session = "/api/sessions/" + quote(UserSession.make_id("ada", "s\0")) + "/"
    assert [item["id"] for item in client.get(f"{session}history/").json()["results"]] == ["a\0b"]
    assert client.delete(url).status_code == 204
    assert client.delete(session).status_code == 204
    assert not MemoryItem.all_objects.exists()


@pytest.mark.parametrize("pk", sorted(RESERVED_IDS))
def test_reserved_ids(pk: str, tmp_path: Path) -> None:
    """Paths of the API are invalid ids for every writer."""
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({**LINE, "id": pk}))
    with pytest.raises(CommandError):
        call_command("memory_import", str(path), stdout=io.StringIO())
    assert "reserved" in json.loads((tmp_path / "odd.jsonl.rejects.jsonl").read_text())["reason"]
    for record in (
        MemoryItem(id=pk, user_id="ada", item_type="note"),
        AgentData(id=pk, agent_id="planner", data_type="plan"),
    ):
        with pytest.raises(ValidationError, match="reserved"):
            record.save()
        with pytest.raises(ValidationError, match="reserved"):
            type(record).objects.bulk_create([record])
    assert not MemoryItem.all_objects.exists()
