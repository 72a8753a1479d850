"""Filters: ranges of days, counts of choices, bounded numbers of records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.admin import change_lists, filters
from memory.models import MemoryItem

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def stored(make_item: Callable[..., MemoryItem]) -> None:
    """An item on each of six days."""
    for number in range(6):
        make_item(
            id=f"i{number}", item_type=["message", "fact"][number % 2], timestamp=NOON + timedelta(days=number),
            metadata={"role": "user"},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"timestamp_from": "2026-03-02"}, "12345"),
        ({"timestamp_to": "2026-03-02"}, "01"),
        ({"timestamp_from": "2026-03-02", "timestamp_to": "2026-03-04"}, "123"),
        ({"timestamp_from": "2026-03-02", "timestamp_to": "2026-03-04", "item_type": "fact"}, "13"),
        ({"timestamp_from": "soon", "timestamp_to": "9999-12-31"}, "012345"),
        ({"timestamp_from": "", "timestamp_to": ""}, "012345"),
    ],
)
def test_ranges_of_days(superuser: Client, url: Url, stored: None, query: dict[str, str], found: str) -> None:
    """Both days belong to it; the form keeps the other filters."""
    response = superuser.get(url("memoryitem"), query)
    assert sorted(item.pk for item in response.context["cl"].result_list) == [f"i{number}" for number in found]
    page = response.content.decode()
    if "item_type" in query:
        assert '<input type="hidden" name="item_type" value="fact">' in page


def test_days_are_those_of_the_time_zone(superuser: Client, url: Url, stored: None) -> None:
    """In Auckland noon in UTC is the next day."""
    with timezone.override("Pacific/Auckland"):
        response = superuser.get(url("memoryitem"), {"timestamp_from": "2026-03-02", "timestamp_to": "2026-03-02"})
    assert [item.pk for item in response.context["cl"].result_list] == ["i0"]


def test_counts_of_choices(superuser: Client, url: Url, stored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On demand, with the other filters applied, and up to a limit."""
    query = {"_facets": "True", "timestamp_from": "2026-03-02"}
    page = superuser.get(url("memoryitem"), query).content.decode()
    for text in ("fact (3)", "message (2)", "user (-)", "Never (5)", "Today (0)"):
        assert text in page
    of_user = superuser.get(url("memoryitem"), {**query, "user_id": "ada"}).content.decode()
    for text in ("fact (3)", "user (5)", "assistant (0)"):
        assert text in of_user
    assert "fact (3)" not in superuser.get(url("memoryitem")).content.decode()
    chosen = superuser.get(url("memoryitem"), {"_facets": "True", "item_type": "fact", "user_id": "ada"})
    assert "message (3)" in chosen.content.decode()
    assert "user (3)" in chosen.content.decode()
    monkeypatch.setattr(filters, "MOST_COUNTED", 2)
    assert "fact (2+)" in superuser.get(url("memoryitem"), {"_facets": "True"}).content.decode()
    for model in ("usersession", "agentdata"):
        assert superuser.get(url(model), {"_facets": "True"}).status_code == 200


def test_lists_count_up_to_a_limit(superuser: Client, url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is shown as such, and the pages end there; no query counts all records."""
    monkeypatch.setattr(change_lists, "MOST_LISTED", 100)
    MemoryItem.objects.bulk_create(MemoryItem(user_id="ada", item_type="message") for _ in range(101))
    with CaptureQueriesContext(connections["memory"]) as captured:
        response = superuser.get(url("memoryitem"))
    assert "100+ memory items" in response.content.decode()
    assert response.context["cl"].paginator.num_pages == 2
    if connections["memory"].vendor == "sqlite":
        counting = [one["sql"] for one in captured if "COUNT(" in one["sql"]]
        assert counting
        assert all("LIMIT" in sql for sql in counting)
    assert "50 memory items" not in superuser.get(url("memoryitem"), {"p": "2"}).content.decode()


def test_users_are_completed(superuser: Client, url: Url, stored: None) -> None:
    """The filter by user asks for names."""
    page = superuser.get(url("memoryitem")).content.decode()
    assert 'data-memory-names="/admin/memory/memoryitem/people/names/"' in page
    assert "memory/names.js" in page


@pytest.mark.parametrize(
    ("text", "found"), [("now", "12345"), ("2026-03-01", "012345"), ("2026-04-01T00:00", "12345"), ("soon", "012345")]
)
def test_items_that_are_valid_at_a_time(superuser: Client, url: Url, stored: None, text: str, found: str) -> None:
    """A text that is no time is ignored."""
    MemoryItem.objects.filter(pk="i0").update(valid_to=NOON + timedelta(days=7))
    response = superuser.get(url("memoryitem"), {"as_of": text})
    assert sorted(item.pk for item in response.context["cl"].result_list) == [f"i{number}" for number in found]
