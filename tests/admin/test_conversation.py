"""The conversation page: order, days, roles, pagination and permissions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from memory.admin.conversation import ITEMS_PER_PAGE, MAX_TEXT
from memory.models import MemoryItem, UserSession

from .conftest import VIEWER, Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 2 * ITEMS_PER_PAGE + 50


def fill(count: int, start: int = 0) -> None:
    """Create a session of `count` items, a minute apart."""
    MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"i{number:05}",
            user_id="ada",
            session_id="s",
            item_type="message",
            text_content=f"turn {number}.",
            timestamp=NOON + timedelta(minutes=number),
        )
        for number in range(start, start + count)
    )


def turns(client: Client, address: str, **query: str) -> list[int]:
    """The numbers of the turns on a page, in order."""
    response = client.get(address, query)
    assert response.status_code == 200
    return [int(number) for number in re.findall(r"turn (\d+)\.", response.content.decode())]


def test_turns_are_chronological_and_grouped_by_day(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """The oldest turn is first; each has role, time, persona and a link to its item."""
    late = make_item(
        session_id="s",
        text_content="turn 2.",
        metadata={"role": "assistant"},
        persona_active="Sage",
        timestamp=NOON + timedelta(days=1, seconds=5),
    )
    make_item(session_id="s", text_content="turn 1.", metadata={"role": "user"}, timestamp=NOON)
    make_item(session_id="s", text_content="turn 3.", item_type="fact", timestamp=NOON + timedelta(days=1, seconds=6))
    make_item(session_id="other", text_content="turn 9.")
    make_item(session_id="s", user_id="eve", text_content="turn 9.")
    make_item(session_id="s", text_content="turn 9.", expiration=timezone.now() - timedelta(seconds=1))
    page = url("usersession", "conversation", "ada:s")
    assert turns(superuser, page) == [1, 2, 3]
    shown = superuser.get(page).context["conversation"]
    assert [day.date for day in shown.days] == [date(2026, 3, 1), date(2026, 3, 2)]
    content = superuser.get(page).content.decode()
    for text in (
        "Sunday, 2026-03-01",
        "Monday, 2026-03-02",
        "12:00:05",
        "as Sage",
        url("memoryitem", "change", late.pk),
    ):
        assert text in content
    spoken = [(turn.speaker, turn.side) for day in shown.days for turn in day.turns]
    assert spoken == [("user", "user"), ("assistant", "agent"), ("fact", "other")]


def test_equal_timestamps_are_ordered_by_id(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """The order is total, so that pages neither repeat nor omit a turn."""
    for number in (3, 1, 2):
        make_item(id=str(number), session_id="s", text_content=f"turn {number}.", timestamp=NOON)
    assert turns(superuser, url("usersession", "conversation", "ada:s")) == [1, 2, 3]


@override_settings(TIME_ZONE="Pacific/Auckland")
def test_days_depend_on_the_time_zone(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Days start at midnight of the current time zone."""
    make_item(session_id="s", timestamp=NOON)
    day = superuser.get(url("usersession", "conversation", "ada:s")).context["conversation"].days[0]
    assert day.date == date(2026, 3, 2)


def follow(client: Client, address: str, link: str, query: str = "") -> list[list[int]]:
    """The turns of a page and of all pages that its links of this kind lead to."""
    pages = []
    while True:
        response = client.get(f"{address}{query}")
        content = response.content.decode()
        pages.append([int(number) for number in re.findall(r"turn (\d+)\.", content)])
        query = response.context["conversation"].pages.get(link, "")
        if not query:
            return pages
        assert f'href="{escape(query)}"' in content


def equal_times(first: int, last: int) -> None:
    """Give these turns one time. Their ids keep their order."""
    rows = MemoryItem.objects.filter(pk__gte=f"i{first:05}", pk__lte=f"i{last:05}")
    rows.update(timestamp=NOON + timedelta(minutes=first))


def test_long_conversation_is_paginated_from_its_end(superuser: Client, url: Url) -> None:
    """Pages in both directions have every turn once, also where turns at one time are on several pages."""
    fill(MANY)
    equal_times(30, 190)
    page = url("usersession", "conversation", "ada:s")
    everything = list(range(MANY))
    back = follow(superuser, page, "older")
    assert [len(some) for some in back] == [ITEMS_PER_PAGE, ITEMS_PER_PAGE, 50]
    assert [number for some in reversed(back) for number in some] == everything
    assert superuser.get(page).content.decode().count("100 of 250") == 2
    forward = follow(superuser, page, "newer", "?oldest=")
    assert [len(some) for some in forward] == [ITEMS_PER_PAGE] * 3  # the last one is the newest page
    assert [*forward[0], *forward[1], *forward[2][-50:]] == everything
    assert follow(superuser, page, "newest", "?oldest=")[-1] == back[0]
    assert follow(superuser, page, "oldest") == [back[0], forward[0]]


@pytest.mark.parametrize("query", ["before=x", "before=2026-03-01T12:00:00,", "after=,i1", "item=none", "page=2"])
def test_places_that_do_not_exist_are_the_end(superuser: Client, url: Url, query: str) -> None:
    """So are pages before the first item."""
    fill(5)
    page = url("usersession", "conversation", "ada:s")
    for wrong in (query, "before=0001-01-01T00:00:00%2B14:00,i1", "before=2026-01-01T00:00:00,i1"):
        assert follow(superuser, page, "newer", f"?{wrong}") == [[0, 1, 2, 3, 4]]


def test_a_page_reads_its_own_items(superuser: Client, url: Url) -> None:
    """The queries of a page in the middle do not skip items: none has an OFFSET, and they are as many as at the end."""
    fill(MANY)
    page, counts = url("usersession", "conversation", "ada:s"), set()
    middle = {"before": f"{(NOON + timedelta(minutes=150)).isoformat()},i00150"}
    for query in (middle, {"item": "i00120"}, {"day": "2026-03-01"}, {"oldest": ""}):
        with CaptureQueriesContext(connections["memory"]) as captured:
            superuser.get(page, query)
        counts.add(len(captured))
        assert not any("OFFSET" in one["sql"].upper() for one in captured.captured_queries)
    assert max(counts) <= 9


@pytest.mark.parametrize("number", [0, 49, 50, 149, 150, 249])
def test_item_parameter_selects_its_page(superuser: Client, url: Url, number: int) -> None:
    """The page with the item is shown, and the item is marked."""
    fill(MANY)
    response = superuser.get(url("usersession", "conversation", "ada:s"), {"item": f"i{number:05}"})
    here = [turn for day in response.context["conversation"].days for turn in day.turns if turn.is_target]
    assert [turn.text for turn in here] == [f"turn {number}."]
    assert response.content.decode().count('id="here"') == 1


def test_number_of_queries_is_constant(superuser: Client, url: Url) -> None:
    """The number does not depend on the length; vectors are not loaded."""
    page, counts = url("usersession", "conversation", "ada:s"), []
    for start, count in ((0, 2), (2, 1000)):
        fill(count, start)
        with CaptureQueriesContext(connections["memory"]) as captured:
            superuser.get(page)
        counts.append(len(captured))
        assert not any('"embedding"' in query["sql"] for query in captured.captured_queries)
    assert counts == [4, 4]


def test_long_text_is_truncated(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """The page shows the number of omitted characters and links to the item."""
    item = make_item(session_id="s", text_content="x" * (MAX_TEXT + 7))
    content = superuser.get(url("usersession", "conversation", "ada:s")).content.decode()
    assert "7 more characters" in content
    assert "x" * (MAX_TEXT + 1) not in content
    assert url("memoryitem", "change", item.pk) in content


def test_user_content_is_escaped(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Text, role, persona, type, metadata, title and ids are escaped."""
    script = "<script>alert(1)<|script>"
    make_item(
        id=script,
        user_id=script,
        session_id=script,
        item_type=script,
        persona_active=script,
        text_content=script,
        metadata={"role": script, script: script},
    )
    session = UserSession.objects.get()
    for metadata in ({}, {"title": script}):
        UserSession.objects.filter(pk=session.pk).update(metadata=metadata)
        content = superuser.get(url("usersession", "conversation", session.pk), {"item": script}).content.decode()
        assert "<script>alert" not in content
        assert content.count("&lt;script&gt;alert") >= 7


def test_unknown_session_is_404_and_empty_session_has_a_message(superuser: Client, url: Url) -> None:
    """An unknown session differs from one without items."""
    assert superuser.get(url("usersession", "conversation", "ada:none")).status_code == 404
    UserSession(user_id="ada", session_id="empty").save()
    assert "has no items" in superuser.get(url("usersession", "conversation", "ada:empty")).content.decode()


@pytest.mark.parametrize(
    ("permissions", "status"),
    [(VIEWER, 200), (("view_usersession",), 403), (("view_memoryitem",), 403), ((), 403)],
)
def test_page_requires_permission_to_view_sessions_and_items(
    staff: Callable[..., Client],
    url: Url,
    make_item: Callable[..., MemoryItem],
    permissions: tuple[str, ...],
    status: int,
) -> None:
    """Both permissions are required, since the page shows both."""
    make_item(session_id="s")
    assert staff(*permissions).get(url("usersession", "conversation", "ada:s")).status_code == status


def test_users_without_staff_status_are_redirected_to_login(
    client: Client, url: Url, make_user: Callable[..., Any]
) -> None:
    """Anonymous users and users without staff status see the login page."""
    page = url("usersession", "conversation", "ada:s")
    assert "/login/" in client.get(page).headers["Location"]
    client.force_login(make_user("ada", permissions=VIEWER))
    assert "/login/" in client.get(page).headers["Location"]


def test_go_to_a_day(superuser: Client, url: Url) -> None:
    """The page with the first turn from that day on; the last page after the end, the first page before the start."""
    fill(MANY)
    page = url("usersession", "conversation", "ada:s")
    MemoryItem.objects.filter(pk__gte="i00120").update(timestamp=NOON + timedelta(days=9))
    assert 120 in turns(superuser, page, day="2026-03-05")
    assert 0 in turns(superuser, page, day="2026-01-01")
    assert turns(superuser, page, day="2026-03-01")[0] == 0
    assert turns(superuser, page, day="2027-01-01") == turns(superuser, page)
    assert turns(superuser, page, day="nonsense") == turns(superuser, page)


def test_parts_of_turns(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Thinking and calls are folded; attachments, branches and the state of the index are shown; markup is escaped."""
    make_item(
        session_id="s",
        text_content=None,
        metadata={
            "role": "assistant",
            "branch": True,
            "thinking": "<b>hm</b>",
            "tool_calls": [{"name": "find<i>", "args": {"q": "x"}}],
            "attachments": [{"name": "plan.pdf"}],
        },
    )
    make_item(session_id="s", text_content="hello")
    page = superuser.get(url("usersession", "conversation", "ada:s")).content.decode()
    for text in ("other branch", "&lt;b&gt;hm&lt;/b&gt;", "find&lt;i&gt;", "plan.pdf", "waits for the index", "0 of 2"):
        assert text in page
    assert "<details open" not in page
    assert "(no text)" not in page


def test_what_is_not_valid_is_marked(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """In the list and in the conversation, which have it nevertheless."""
    old = make_item(session_id="s", text_content="turn 1.")
    make_item(session_id="s", text_content="turn 2.", supersedes=[old.pk])
    pages = (url("memoryitem"), url("usersession", "conversation", UserSession.make_id("ada", "s")))
    for page in pages:
        content = superuser.get(page).content.decode()
        assert content.count("turn 1.") >= 1
        assert content.count("not valid now") == 1
