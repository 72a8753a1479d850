"""The dashboard: its figures equal what SQL counts, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory import usage
from memory.admin import dashboard, figures
from memory.models import MemoryItem, UserSession

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

MOST_QUERIES = 130
"""Of the dashboard: a count for each day, type and person among them."""


@pytest.fixture
def address(url: Url) -> str:
    """The dashboard's."""
    return "/admin/memory/memoryitem/dashboard/"


@pytest.fixture
def memory(make_item: Callable[..., MemoryItem]) -> list[MemoryItem]:
    """Items of several people, days and types; some expire soon, one has expired."""
    now = timezone.now()
    return [
        make_item(
            id=f"i{number}",
            user_id=["ada", "bob", "eve"][number % 3],
            session_id=f"s{number % 4}",
            item_type=["message", "fact"][number % 5 == 0],
            timestamp=now - timedelta(days=3 * number),
            expiration={1: now + timedelta(hours=5), 2: now + timedelta(days=3), 4: now - timedelta(hours=1)}.get(
                number
            ),
        )
        for number in range(14)
    ]


def test_figures_equal_what_is_stored(superuser: Client, address: str, memory: list[MemoryItem]) -> None:
    """Each number of the page, counted again from the rows."""
    context = superuser.get(address).context
    now = context["now"]
    rows = list(MemoryItem.all_objects.all())
    day_of = {row.pk: f"{timezone.localtime(row.timestamp):%Y-%m-%d}" for row in rows}
    shown = {bar.value.label: bar.value.number for bar in context["items_plot"].bars}
    assert len(shown) == dashboard.DAYS
    assert shown == {day: sum(one == day for one in day_of.values()) for day in shown}
    first = min(shown)
    types = {level.value.label: level.value.number for level in context["types"]}
    for name in ("message", "fact"):
        assert types[name] == sum(row.item_type == name and day_of[row.pk] >= first for row in rows)
    sessions = list(UserSession.objects.all())
    active = [sum(now - ago < one.last_activity <= now for one in sessions) for ago in (
        timedelta(hours=1), timedelta(days=1), timedelta(days=7))]  # fmt: skip
    expirations = [row.expiration for row in rows if row.expiration is not None]
    expiring = [sum(now < one <= now + timedelta(days=days) for one in expirations) for days in (1, 7)]
    expired = sum(one <= now for one in expirations)
    assert [figure.text for figure in context["figures"]] == [str(n) for n in [*active, *expiring, expired]]
    people = {person.name: person.items.number for person in context["people"]}
    assert people == {
        name: sum(row.user_id == name and day_of[row.pk] >= first for row in rows) for name in ("ada", "bob", "eve")
    }
    waits = {person.name: person.waiting.number for person in context["people"]}
    assert waits == {name: sum(row.user_id == name for row in rows) for name in people}  # nothing is indexed yet


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York"])
def test_days_are_those_of_the_time_zone(memory: list[MemoryItem], zone: str) -> None:
    """Days begin at midnight of the current time zone; every item is in one."""
    with timezone.override(zone):
        plot = dashboard.items_by_day(timezone.now())
        local = [f"{timezone.localtime(item.timestamp):%Y-%m-%d}" for item in memory]
        assert {bar.value.label: bar.value.number for bar in plot.bars} == {
            bar.value.label: local.count(bar.value.label) for bar in plot.bars
        }


def test_the_number_of_queries_is_bounded(superuser: Client, address: str) -> None:
    """With as many people and types as there are items."""
    MemoryItem.objects.bulk_create(
        MemoryItem(user_id=f"u{number}", session_id="s", item_type=f"t{number}", timestamp=timezone.now())
        for number in range(200)
    )
    with CaptureQueriesContext(connections["memory"]) as captured:
        response = superuser.get(address)
    assert len(captured) <= MOST_QUERIES
    assert len(response.context["people"]) == dashboard.MOST_PEOPLE
    assert len(response.context["types"]) == dashboard.MOST_TYPES


def test_counts_stop_at_their_limit(memory: list[MemoryItem]) -> None:
    """A count above the limit is shown as such."""
    every = MemoryItem.all_objects.all()
    counted = figures.counts_of([figures.Countable(every, "timestamp", most) for most in (13, 14, 1)])
    assert [str(count) for count in counted] == ["13+", "14", "1+"]
    assert str(figures.Count(1_234) + figures.Count(10_000, more=True)) == "11,234+"


def test_use_is_shown(superuser: Client, address: str, memory: list[MemoryItem]) -> None:
    """Searches of the last 24 hours, older ones not, and documents of Firestore with their price."""
    caches["default"].clear()
    usage.counts.flush(now=True)
    caches["default"].clear()
    MemoryItem.objects.for_user("ada").search("text")
    hour = usage.hour_of(timezone.now())
    usage.store({usage.CACHE_HIT: 3, usage.CACHE_MISS: 1, usage.CLASSES[0]: 2}, caches["default"], hour - 23)
    usage.store({usage.CACHE_HIT: 100}, caches["default"], hour - 24)
    context = superuser.get(address).context
    shown = {figure.name: figure.text for figure in context["usage"]}
    assert shown["Searches"] == "3"
    assert sum(bar.value.number for bar in context["search_plot"].bars) == 3
    assert shown["Half of the searches took at most"] == "10 ms"
    assert shown["Conversations read from the cache"] == "75.0%"
    if connections["memory"].vendor == "firestore":
        superuser.get(address)
        shown = {figure.name: figure.text for figure in superuser.get(address).context["usage"]}
        read = int(shown["Documents read by requests"].replace(",", ""))
        assert read > 30
        assert shown["Price of these"].startswith("$ 0.")


def test_price_and_durations() -> None:
    """100,000 reads and as many writes cost what the price list says; durations fall into their classes."""
    hours = [timezone.now()] * usage.HOURS
    numbers = {name: [0] for name in usage.NAMES} | {usage.READ: [60_000, 40_000], usage.WRITTEN: [100_000]}
    used = usage.Usage(hours, {**numbers, usage.REQUESTS: [5]}, is_shared=True)
    shown = {figure.name: figure.text for figure in dashboard.usage_figures(used, on_firestore=True)}
    assert shown["Price of these"] == "$ 0.1200"
    assert [usage.class_of(ms) for ms in (1, 10, 11, 2_500, 2_501)] == [
        "search_10", "search_10", "search_25", "search_2500", "search_more"]  # fmt: skip
    assert usage.percentile([1, 0, 0, 1, 0, 0, 0, 0, 0], 0.5) == 10
    assert usage.percentile([0] * 8 + [1], 0.5) is None


def test_permissions(staff: Callable[..., Client], address: str) -> None:
    """The dashboard needs the permissions to view items and sessions."""
    assert staff("view_memoryitem", "view_usersession").get(address).status_code == 200
    for permissions in (("view_memoryitem",), ("view_usersession",), ()):
        assert staff(*permissions).get(address).status_code == 403
    assert address in superuser_page(staff("view_memoryitem", "view_usersession"))
    assert address not in superuser_page(staff("view_memoryitem"))


def superuser_page(client: Client) -> str:
    """The page of the app."""
    return client.get("/admin/memory/").content.decode()
