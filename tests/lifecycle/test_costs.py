"""What an erasure costs on Firestore, counted on the wire, beside the SDK's `recursive_delete`."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from pytest_django import DjangoDbBlocker

from memory.lifecycle import costs, erasure
from memory.models import MemoryItem, UserSession
from memory.tombstones import tombstones
from tests import databases
from tests.faults.meter import Meter

# Tokens are in the database of the users.
pytestmark = [pytest.mark.firestore_emulator, pytest.mark.django_db(databases=["default"], transaction=True)]

TABLES = ("memory_items", "user_sessions")
ITEMS, SESSIONS = 230, 10


@pytest.fixture
def meter(firestore_emulator: str, django_db_blocker: DjangoDbBlocker, settings: Any) -> Iterator[Meter]:
    """The calls between both libraries and a database of their own."""
    project = f"erase-{uuid.uuid4().hex[:12]}"
    with (
        django_db_blocker.unblock(),
        Meter(firestore_emulator) as meter,
        databases.firestore("metered", meter.address, project, timeout=60),
    ):
        settings.MEMORY = {**settings.MEMORY, "DATABASE": "metered"}
        yield meter


def fill(user_id: str) -> None:
    MemoryItem.objects.using("metered").bulk_create(
        MemoryItem(id=f"{user_id}{n:04}", user_id=user_id, session_id=f"s{n % SESSIONS}", item_type="message")
        for n in range(ITEMS)
    )
    tombstones.clear()


def by_sdk(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> int:
    """The deletions of `recursive_delete` of the same documents, in collections of their own."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", meter.address)
    client = firestore.Client(project="sdk-only", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    writer = client.bulk_writer()
    for model in (MemoryItem, UserSession):
        for key in model._base_manager.using("metered").values_list("pk", flat=True):
            writer.set(client.collection(f"sdk_{model._meta.db_table}").document(key), {"x": 1})
    writer.close()
    meter.bill.clear()
    for table in TABLES:
        client.recursive_delete(client.collection(f"sdk_{table}"))
    return len(meter.bill.deleted)


def test_an_erasure_deletes_no_more_than_the_sdk(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """One deletion for each document, of which the cost that was stated before has the number, in few calls."""
    fill("ada")
    sdk = by_sdk(meter, monkeypatch)
    stated = costs.cost_of("ada")
    meter.bill.clear()
    done = erasure.erase("ada")
    deleted = Counter(meter.bill.deleted)
    assert done.counts == {"memory_items": ITEMS, "user_sessions": SESSIONS}
    assert {table: deleted[table] for table in TABLES} == done.counts
    assert sum(deleted.values()) == done.total == sdk == stated.deletes
    assert meter.bill.read <= stated.reads
    # Two passes over the inventory, each page in one read and one write, and the erasure's own rows.
    assert sum(meter.bill.calls.values()) <= 60
