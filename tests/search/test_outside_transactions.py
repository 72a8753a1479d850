"""Vectors of new texts are computed before the transaction of the write, which locks an SQLite database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from django.db import connections
from rest_framework.test import APIClient

from memory.models import MemoryItem
from memory.search.embedders import Vectors
from memory.testing.embedders import DeterministicEmbedder

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

BULK = "/api/memory-items/bulk/"


class Watching(DeterministicEmbedder):
    """Records the texts of each call, and whether it was made inside a transaction."""

    calls: ClassVar[list[tuple[bool, int]]] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Record the call."""
        self.calls.append((connections["memory"].in_atomic_block, len(texts)))
        return super().embed_documents(texts)


@pytest.fixture(autouse=True)
def calls(settings: Any) -> list[tuple[bool, int]]:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Watching"}
    Watching.calls.clear()
    return Watching.calls


def new(number: int, **values: Any) -> MemoryItem:
    return MemoryItem(user_id="ada", session_id="s", item_type="m", text_content=f"text number {number}", **values)


def test_own_texts_are_embedded_before_the_transaction(calls: list[tuple[bool, int]]) -> None:
    """For one item, for many, and for changed ones; each text is embedded once."""
    item = MemoryItem(user_id="ada", item_type="m", text_content="first")
    item.save()
    MemoryItem.objects.bulk_create([new(number) for number in range(50)])
    item.text_content = "second"
    item.save()
    item.text_content = "third"
    MemoryItem.objects.bulk_update([item], ["text_content"])
    assert calls == [(False, 1), (False, 50), (False, 1), (False, 1)]
    assert all(MemoryItem.objects.values_list("embedding_model", flat=True))
    item.save()
    assert len(calls) == 4


def test_only_turns_before_the_first_text_are_embedded_inside(calls: list[tuple[bool, int]]) -> None:
    """At most three texts for each session."""
    MemoryItem.objects.bulk_create([new(number) for number in range(5)])
    calls.clear()
    MemoryItem.objects.bulk_create([new(number) for number in range(10, 60)])
    assert calls == [(False, 50), (True, 3)]


def test_bulk_requests_lock_nothing_while_texts_are_embedded(calls: list[tuple[bool, int]], make_user: Any) -> None:
    """The API's transaction begins after it."""
    client = APIClient()
    client.force_authenticate(make_user("ada"))
    items = [{"item_type": "m", "session_id": "s", "text_content": f"text {number}"} for number in range(100)]
    assert client.post(BULK, {"items": items}, "json").status_code == 201
    assert client.post("/api/memory-items/", items[0], "json").status_code == 201
    assert calls[0] == (False, 100)
    assert [inside for inside, count in calls if count > 3] == [False]
