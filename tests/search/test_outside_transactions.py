"""Vectors of new texts are computed before the transaction of the write, which locks an SQLite database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient

from memory.interchange.entries import Entry, Place
from memory.interchange.store import write
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


@pytest.fixture
def ada(make_user: Any) -> APIClient:
    """A client of the API."""
    client = APIClient()
    client.force_authenticate(make_user("ada"))
    return client


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


def inside(calls: list[tuple[bool, int]]) -> int:
    """How many texts were embedded inside a transaction."""
    return sum(count for was_inside, count in calls if was_inside)


def test_bulk_requests_lock_nothing_while_texts_are_embedded(calls: list[tuple[bool, int]], ada: APIClient) -> None:
    """The API's transaction begins after it, and after the validation."""
    items = [{"item_type": "m", "session_id": "s", "text_content": f"text {number}"} for number in range(100)]
    assert ada.post(BULK, {"items": items}, "json").status_code == 201
    assert ada.post("/api/memory-items/", items[0], "json").status_code == 201
    assert sum(count for was_inside, count in calls if not was_inside) >= 101
    assert inside(calls) == 0


@pytest.mark.embedded  # a transaction on Firestore locks nothing but what it reads
def test_changes_of_texts_lock_nothing_while_texts_are_embedded(calls: list[tuple[bool, int]], ada: APIClient) -> None:
    """By PATCH, PUT and `update()`, the vectors are those of a new item."""
    MemoryItem.objects.bulk_create([new(number) for number in range(5)])
    item = new(6)
    item.save()
    path = f"/api/memory-items/{item.pk}/"
    calls.clear()
    whole = ada.get(path).json()
    assert ada.patch(path, {"text_content": "patched"}, "json").status_code == 200
    assert ada.put(path, {**whole, "text_content": "replaced"}, "json").status_code == 200
    assert MemoryItem.objects.filter(pk=item.pk).update(text_content="updated") == 1
    assert len(calls) == 3
    assert inside(calls) == 0
    item.refresh_from_db()
    found = (item.text_content, item.text_embedding)
    item.delete()
    again = new(0, timestamp=item.timestamp)
    again.text_content = "updated"
    again.save()
    assert found == (again.text_content, again.text_embedding)


@pytest.mark.embedded
@pytest.mark.parametrize("update", [False, True])
def test_imports_lock_nothing_while_texts_are_embedded(calls: list[tuple[bool, int]], update: bool) -> None:
    """Neither new texts nor changed ones are embedded in the transaction, and a stored text is not embedded again."""

    now = timezone.now()

    def entry(number: int, text: str) -> Entry:
        values = {"id": f"i{number}", "user_id": "ada", "item_type": "m", "session_id": "s", "text_content": text}
        return Entry("MemoryItem", {**values, "timestamp": now}, frozenset({"text_content"}), Place(number), None)

    first = [entry(number, f"text {number}") for number in range(40)]
    assert write(first).added["MemoryItem"] == 40
    assert (inside(calls), sum(count for _, count in calls)) == (0, 40)
    calls.clear()
    again = [*first[:39], entry(39, "another text"), entry(40, "a new text")]
    written = write(again, update=update)
    assert written.added["MemoryItem"] == 1
    assert written.updated["MemoryItem"] == int(update)
    assert inside(calls) == 0
    stored = MemoryItem.objects.get(pk="i39")
    assert stored.text_content == ("another text" if update else "text 39")
    alone = MemoryItem(user_id="bob", item_type="m", session_id="s", text_content=stored.text_content)
    alone.save()
    assert stored.text_embedding == alone.text_embedding


@pytest.mark.embedded
def test_a_change_that_another_request_made_meanwhile_is_kept(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared counts only for the text and place that it was computed from."""
    item = new(1)
    item.save()
    prepare = MemoryItem.before_transaction.__func__  # type: ignore[attr-defined]

    def meanwhile(cls: type[MemoryItem], records: Sequence[MemoryItem], using: str) -> None:
        prepare(cls, records, using)
        monkeypatch.undo()
        MemoryItem.objects.filter(pk=item.pk).update(session_id="other", metadata={"kept": True})

    monkeypatch.setattr(MemoryItem, "before_transaction", classmethod(meanwhile))
    answer = ada.patch(f"/api/memory-items/{item.pk}/", {"text_content": "patched"}, "json")
    assert answer.status_code == 200
    assert (answer.json()["session_id"], answer.json()["metadata"]) == ("other", {"kept": True})
    stored = MemoryItem.objects.get(pk=item.pk)
    alone = MemoryItem(user_id="ada", session_id="fresh", item_type="m", text_content="patched")
    alone.save()
    assert (stored.text_content, stored.text_embedding) == ("patched", alone.text_embedding)
