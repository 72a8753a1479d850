"""Filters that the index knows: a range of sessions is applied before the ranking."""

from __future__ import annotations

import pytest
from django.db import connections

from memory.models import MemoryItem
from memory.search.known_filters import known_filters

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


def test_a_range_of_sessions_is_known_and_exact() -> None:
    """All sessions that start alike, by code points; items without a session are outside of every range."""
    for session_id in ("a/", "a/b/", "a0", "A/", "a", None, "a/ü/"):
        MemoryItem.objects.create(user_id="ada", session_id=session_id, item_type="m", text_content=f"tea {session_id}")
    items = MemoryItem.objects.filter(user_id="ada")
    is_postgresql = connections[items.db].vendor == "postgresql"
    below = (
        items.filter(session_id__startswith="a/")
        if is_postgresql
        else items.filter(session_id__gte="a/", session_id__lt="a0")
    )
    found = known_filters(below)
    assert found.complete
    assert len(found.lookups) == (1 if is_postgresql else 2)
    assert (
        {item.session_id for item in below.search("tea")}
        == {"a/", "a/b/", "a/ü/"}
        == {item.session_id for item in below}
    )


def test_other_lookups_are_not_known() -> None:
    """They are answered by the database: it compares as it is configured."""
    items = MemoryItem.objects.filter(user_id="ada")
    for filters in ({"session_id__icontains": "a"}, {"session_id__in": ["a"]}, {"item_type": "m"}):
        assert not known_filters(items.filter(**filters)).complete
