"""Pagination: complete, ordered, and at a cost that does not depend on the depth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from memory.api import pagination
from memory.models import MemoryItem, UserSession

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def store(count: int, step: timedelta, **values: Any) -> list[str]:
    """Create items of `ada`; return their ids, oldest first."""
    common = {"user_id": "ada", "item_type": "m", **values}
    items = [MemoryItem(id=f"{n:05}", timestamp=NOON + n * step, **common) for n in range(count)]
    MemoryItem.objects.bulk_create(items)
    return [item.pk for item in items]


def walk(client: APIClient, url: str, link: str = "next") -> list[dict[str, Any]]:
    """All pages from `url`."""
    pages = [client.get(url).json()]
    while pages[-1][link]:
        pages.append(client.get(pages[-1][link]).json())
    return pages


def ids(pages: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for page in pages for row in page["results"]]


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=1)], ids=["one time", "many times"])
@pytest.mark.parametrize("ordering", ["timestamp", "-timestamp"])
def test_pages_are_complete_and_in_order(ada: APIClient, step: timedelta, ordering: str) -> None:
    """Each of 2,500 items is returned once, even with equal timestamps, forwards and backwards."""
    expected = store(2500, step)
    if ordering.startswith("-"):
        expected.reverse()
    pages = walk(ada, f"{ITEMS}?limit=200&ordering={ordering}")
    assert ids(pages) == expected
    assert [page["has_more"] for page in pages] == [True] * 12 + [False]
    back = walk(ada, pages[-1]["previous"], "previous")
    assert ids(back[::-1]) == expected[:2400]
    assert back[-1]["previous"] is None


def test_full_last_page_has_no_next_page(ada: APIClient) -> None:
    """`has_more` is true only if a next page has records."""
    store(50, timedelta(seconds=1))
    page = ada.get(ITEMS).json()
    assert len(page["results"]) == 50
    assert (page["has_more"], page["next"], page["previous"]) == (False, None, None)


def test_concurrent_changes_shift_no_records(ada: APIClient) -> None:
    """If items are inserted and deleted between two pages, none is skipped or repeated."""
    expected = store(30, timedelta(0))[::-1]
    first = ada.get(f"{ITEMS}?limit=10").json()
    MemoryItem.objects.filter(pk__in=[row["id"] for row in first["results"][3:]]).delete()
    MemoryItem.objects.create(id="new", user_id="ada", item_type="m", timestamp=NOON + timedelta(days=1))
    assert ids([first]) + ids(walk(ada, first["next"])) == expected


def test_cursor_keeps_the_filters(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The next page has the same filters."""
    store(5, timedelta(seconds=1))
    make_item(item_type="other")
    assert len(ids(walk(ada, f"{ITEMS}?limit=2&item_type=m"))) == 5


def test_cursor_is_bound_to_its_ordering(ada: APIClient) -> None:
    """A cursor of another ordering is rejected."""
    store(3, timedelta(seconds=1))
    following = ada.get(f"{ITEMS}?limit=1").json()["next"]
    assert codes(ada.get(f"{following}&ordering=timestamp")) == {"cursor": ["invalid_cursor"]}


def test_cursor_grants_no_access(ada: APIClient, bob: APIClient) -> None:
    """Another user's cursor returns only own records."""
    store(3, timedelta(seconds=1))
    following = ada.get(f"{ITEMS}?limit=1").json()["next"]
    assert bob.get(following).json()["results"] == []


def test_empty_page_links_to_the_first_page(ada: APIClient) -> None:
    """If the records of the previous page were deleted, `next` restarts the list."""
    store(4, timedelta(seconds=1))
    second = ada.get(ada.get(f"{ITEMS}?limit=2").json()["next"]).json()
    MemoryItem.objects.filter(pk__in=["00003", "00002"]).delete()
    empty = ada.get(second["previous"]).json()
    assert (empty["results"], empty["previous"]) == ([], None)
    assert ids(walk(ada, empty["next"])) == ["00001", "00000"]


def test_sessions_are_ordered_by_activity(ada: APIClient) -> None:
    """Latest first, or oldest first."""
    sessions = [
        UserSession(user_id="ada", session_id=f"{n:02}", last_activity=NOON + timedelta(minutes=n)) for n in range(7)
    ]
    UserSession.objects.bulk_create(sessions)
    expected = [f"ada:{n:02}" for n in range(7)]
    assert ids(walk(ada, "/api/sessions/?limit=3")) == expected[::-1]
    assert ids(walk(ada, "/api/sessions/?limit=3&ordering=last_activity")) == expected


@pytest.mark.parametrize("rows", [10, 2000])
def test_number_of_queries_does_not_depend_on_rows(
    ada: APIClient,
    operator: APIClient,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """Lists, later pages, records and histories need the same queries with 10 rows and with 2,000."""
    store(rows, timedelta(seconds=1), session_id="s", embedding=[0.5] * 8)
    following = ada.get(f"{ITEMS}?limit=5").json()["next"]
    for client, url, memory, default in (
        (ada, ITEMS, 1, 2),  # auth's queries: the user's permissions, its groups' permissions
        (ada, following, 1, 2),
        (ada, f"{ITEMS}?limit=200&item_type=m&metadata_key=a", 1, 2),
        (ada, f"{ITEMS}00001/", 1, 2),
        (ada, "/api/sessions/", 1, 2),
        (ada, "/api/sessions/ada:s/history/?limit=200", 2, 0),  # one's own: no permission is needed
        (operator, "/api/sessions/ada:s/history/?limit=200", 2, 3),
        (ada, "/api/agent-data/", 1, 2),
    ):
        clear_permission_cache(client)
        with django_assert_num_queries(memory, using="memory"), django_assert_num_queries(default, using="default"):
            assert client.get(url).status_code == 200


def clear_permission_cache(client: APIClient) -> None:
    """Clear the permissions cached on the user, since a real request loads the user again."""
    user = client.handler._force_user
    for name in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        vars(user).pop(name, None)


@pytest.mark.parametrize("ordering", ["timestamp", "-timestamp"])
def test_pages_are_bounded_by_bytes(ada: APIClient, monkeypatch: pytest.MonkeyPatch, ordering: str) -> None:
    """A page ends before the record that exceeds the budget, and the cursor continues there."""
    monkeypatch.setattr(pagination, "PAGE_BYTES", 250_000)
    expected = store(7, timedelta(0), text_content="x" * 100_000)
    if ordering.startswith("-"):
        expected.reverse()
    pages = walk(ada, f"{ITEMS}?limit=200&ordering={ordering}")
    assert ids(pages) == expected
    assert [len(page["results"]) for page in pages] == [2, 2, 2, 1]
    back = walk(ada, pages[-1]["previous"], "previous")
    assert ids(back[::-1]) == expected[:6]


def test_a_record_above_the_budget_is_a_page(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is unreachable because of its size."""
    monkeypatch.setattr(pagination, "PAGE_BYTES", 1_000)
    expected = store(3, timedelta(0), text_content="x" * 100_000)
    pages = walk(ada, f"{ITEMS}?ordering=timestamp")
    assert [len(page["results"]) for page in pages] == [1, 1, 1]
    assert ids(pages) == expected


@pytest.mark.parametrize("url", [f"{ITEMS}search/?q=word&limit=100", "/api/sessions/ada:s/history/?limit=200"])
def test_searches_and_histories_are_bounded_by_bytes(ada: APIClient, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The best results, and the newest items, within the budget."""
    monkeypatch.setattr(pagination, "PAGE_BYTES", 250_000)
    stored = store(5, timedelta(seconds=1), session_id="s")
    for number, pk in enumerate(stored):  # of equal texts a search finds one
        MemoryItem.objects.filter(pk=pk).update(text_content=f"{number} {'word ' * 20_000}")
    page = ada.get(url).json()
    assert len(page["results"]) == 2
    if "history" in url:
        assert ids(walk(ada, url)) == stored[::-1]
