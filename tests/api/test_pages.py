"""Lists page by page: complete, in order, at the same cost however deep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from memory.models import MemoryItem, UserSession

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def store(count: int, step: timedelta, **values: Any) -> list[str]:
    """Ids of new items of `ada`, oldest first."""
    common = {"user_id": "ada", "item_type": "m", **values}
    items = [MemoryItem(id=f"{n:05}", timestamp=NOON + n * step, **common) for n in range(count)]
    MemoryItem.objects.bulk_create(items)
    return [item.pk for item in items]


def walk(client: APIClient, url: str, link: str = "next") -> list[dict[str, Any]]:
    """All pages from `url` on."""
    pages = [client.get(url).json()]
    while pages[-1][link]:
        pages.append(client.get(pages[-1][link]).json())
    return pages


def ids(pages: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for page in pages for row in page["results"]]


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=1)], ids=["one time", "many times"])
@pytest.mark.parametrize("ordering", ["timestamp", "-timestamp"])
def test_pages_are_complete_and_in_order(ada: APIClient, step: timedelta, ordering: str) -> None:
    """2,500 items, even of one timestamp: each comes once, and the way back is the same."""
    expected = store(2500, step)
    if ordering.startswith("-"):
        expected.reverse()
    pages = walk(ada, f"{ITEMS}?limit=200&ordering={ordering}")
    assert ids(pages) == expected
    assert [page["has_more"] for page in pages] == [True] * 12 + [False]
    back = walk(ada, pages[-1]["previous"], "previous")
    assert ids(back[::-1]) == expected[:2400]
    assert back[-1]["previous"] is None


def test_a_page_that_is_just_full_is_the_last(ada: APIClient) -> None:
    """`has_more` is true only where there is more."""
    store(50, timedelta(seconds=1))
    page = ada.get(ITEMS).json()
    assert len(page["results"]) == 50
    assert (page["has_more"], page["next"], page["previous"]) == (False, None, None)


def test_records_that_come_and_go_shift_nothing(ada: APIClient) -> None:
    """Between two pages, newer items arrive and those already read vanish: nothing is skipped or repeated."""
    expected = store(30, timedelta(0))[::-1]
    first = ada.get(f"{ITEMS}?limit=10").json()
    MemoryItem.objects.filter(pk__in=[row["id"] for row in first["results"][3:]]).delete()
    MemoryItem.objects.create(id="new", user_id="ada", item_type="m", timestamp=NOON + timedelta(days=1))
    assert ids([first]) + ids(walk(ada, first["next"])) == expected


def test_a_cursor_keeps_the_filters(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The next page is of the same list."""
    store(5, timedelta(seconds=1))
    make_item(item_type="other")
    assert len(ids(walk(ada, f"{ITEMS}?limit=2&item_type=m"))) == 5


def test_a_cursor_is_of_one_order(ada: APIClient) -> None:
    """Used with another, it is refused, since it would skip."""
    store(3, timedelta(seconds=1))
    following = ada.get(f"{ITEMS}?limit=1").json()["next"]
    assert codes(ada.get(f"{following}&ordering=timestamp")) == {"cursor": ["invalid_cursor"]}


def test_a_cursor_shows_nothing_of_others(ada: APIClient, bob: APIClient) -> None:
    """It is a place in the order, not a right."""
    store(3, timedelta(seconds=1))
    following = ada.get(f"{ITEMS}?limit=1").json()["next"]
    assert bob.get(following).json()["results"] == []


def test_a_page_whose_records_are_gone_leads_on(ada: APIClient) -> None:
    """Going back to where nothing is left, the list starts anew."""
    store(4, timedelta(seconds=1))
    second = ada.get(ada.get(f"{ITEMS}?limit=2").json()["next"]).json()
    MemoryItem.objects.filter(pk__in=["00003", "00002"]).delete()
    empty = ada.get(second["previous"]).json()
    assert (empty["results"], empty["previous"]) == ([], None)
    assert ids(walk(ada, empty["next"])) == ["00001", "00000"]


def test_sessions_are_paged_by_activity(ada: APIClient) -> None:
    """Latest first, or the other way round."""
    sessions = [
        UserSession(user_id="ada", session_id=f"{n:02}", last_activity=NOON + timedelta(minutes=n)) for n in range(7)
    ]
    UserSession.objects.bulk_create(sessions)
    expected = [f"ada:{n:02}" for n in range(7)]
    assert ids(walk(ada, "/api/sessions/?limit=3")) == expected[::-1]
    assert ids(walk(ada, "/api/sessions/?limit=3&ordering=last_activity")) == expected


@pytest.mark.parametrize("rows", [10, 2000])
def test_queries_per_request_do_not_depend_on_rows(
    ada: APIClient,
    operator: APIClient,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """A list, a page in its middle, a record, a conversation: the same queries with 10 rows and with 2,000."""
    store(rows, timedelta(seconds=1), session_id="s", embedding=[0.5] * 8)
    following = ada.get(f"{ITEMS}?limit=5").json()["next"]
    for client, url, memory, default in (
        (ada, ITEMS, 1, 2),  # auth's queries: the user's permissions, its groups' permissions
        (ada, following, 1, 2),
        (ada, f"{ITEMS}?limit=200&item_type=m&metadata_key=a", 1, 2),
        (ada, f"{ITEMS}00001/", 1, 2),
        (ada, "/api/sessions/", 1, 2),
        (ada, "/api/sessions/ada:s/history/?limit=200", 2, 2),
        (ada, "/api/agent-data/", 1, 2),
    ):
        forget_permissions(client)
        with django_assert_num_queries(memory, using="memory"), django_assert_num_queries(default, using="default"):
            assert client.get(url).status_code == 200


def forget_permissions(client: APIClient) -> None:
    """Django keeps a user's permissions on the user; a real request loads the user anew."""
    user = client.handler._force_user
    for name in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        vars(user).pop(name, None)
