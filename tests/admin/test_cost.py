"""What a page of the admin costs does not grow with what is stored."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.models import MemoryItem
from memory.search.packing import pack

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

OWN = "/admin/memory/memoryitem/"
SESSION = "/admin/memory/usersession/user-1_3As0/conversation/"
# The most statements, and the most documents that Firestore bills as read, of each page. Items that were just written
# are read beside the index, by searches and for the state of the index.
PAGES = {
    f"{OWN}dashboard/": (130, 200),
    f"{OWN}people/": (160, 160),
    f"{OWN}people/?q=user": (160, 160),
    f"{OWN}people/user-1/page/": (110, 320),
    f"{OWN}search/?user=user-1&q=where+was+the+piano": (60, 330),
    OWN: (60, 160),
    f"{OWN}?user_id=user-1": (60, 160),
    f"{OWN}?item_type=fact": (60, 160),
    f"{OWN}?q=user:user-1+where+was+the+piano": (60, 330),
    "/admin/memory/usersession/": (40, 160),
    SESSION: (12, 330),
    f"{SESSION}?oldest=": (12, 430),
}
USERS = 5
SESSIONS = 3


def fill(first: int, last: int) -> None:
    """Items of five users in three sessions each, an hour apart, and their search indexes."""
    now = timezone.now()
    MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"{number:06}",
            user_id=f"user-{number % USERS}",
            session_id=f"s{number // USERS % SESSIONS}",
            item_type=("message", "fact", "event")[number // USERS % 3],
            text_content=f"The piano number {number} was in the garden.",
            metadata={"role": "user"},
            timestamp=now - timedelta(minutes=10 * number),
        )
        for number in range(first, last)
    )
    for user in range(USERS):
        pack(f"user-{user}", "memory")


def cost(client: Client, address: str) -> tuple[int, int]:
    """The statements of a page, and the documents that they read."""
    client.get(address)  # what is read once in a process
    with CaptureQueriesContext(connections["memory"]) as captured:
        assert client.get(address).status_code == 200
    return len(captured), sum(one.get("documents_read", 0) for one in captured)


def test_pages_cost_the_same_with_more_items(superuser: Client) -> None:
    """At eight times as many items no page has more statements or documents than its bound."""
    fill(0, 150)
    before = {address: cost(superuser, address) for address in PAGES}
    fill(150, 1_200)
    after = {address: cost(superuser, address) for address in PAGES}
    for address, (statements, documents) in PAGES.items():
        for counted in (before[address], after[address]):
            assert counted[0] <= statements, (address, before[address], after[address])
            assert counted[1] <= documents, (address, before[address], after[address])
