"""The bound of `explain()` for slices of merged queries."""

from __future__ import annotations

import re

import pytest
from django.db import connection, transaction
from django.db.models import Q

from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

MANY = [f"o{number}" for number in range(70)]  # three queries of at most 30 values


def merged(wanted: int) -> tuple[int, int]:
    """The bound of the first rows of three queries, and how many documents are read for them."""
    found = Note.objects.filter(Q(owner__in=MANY)).order_by("pk")[:wanted]
    text = found.explain()
    assert "merge 3 queries" in text
    bound = re.search(r"reads at most (\d+) documents", text)
    assert bound is not None, text
    with CaptureRPCsContext(connection) as calls:
        list(found)
    return int(bound[1]), sum(call["documents_read"] for call in calls)


@pytest.mark.parametrize("stored", [0, 1, 70])
@pytest.mark.parametrize("own", [False, True])
def test_each_query_of_a_merge_may_read_the_whole_slice(stored: int, own: bool) -> None:
    """One document is billed for a query that finds nothing."""
    Note.objects.bulk_create([Note(pk=f"n{number:02}", owner=MANY[number]) for number in range(stored)])
    with transaction.atomic():
        if own:
            Note.objects.create(pk="own", owner="else")
        for wanted in (1, 5):
            bound, read = merged(wanted)
            assert 3 <= read <= bound <= 3 * wanted + 2
