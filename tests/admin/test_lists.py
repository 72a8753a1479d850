"""Change lists: columns, search, filters, and their number of queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.admin import change_lists, filters
from memory.fields import new_id
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import Url

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = ("memoryitem", "agentdata", "usersession")
SCRIPT = "<script>alert(1)</script>"


def listed(client: Client, url: str, **query: str) -> list[Any]:
    """The records on the first page of a list."""
    response = client.get(url, query)
    assert response.status_code == 200, response
    return list(response.context["cl"].result_list)


def queries(client: Client, url: str) -> list[str]:
    """The SQL of a page on both databases."""
    with (
        CaptureQueriesContext(connections["default"]) as default,
        CaptureQueriesContext(connections["memory"]) as memory,
    ):
        assert client.get(url).status_code == 200
    return [query["sql"] for captured in (default, memory) for query in captured.captured_queries]


def test_columns_of_memory_items(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """A row shows time, user, session, type, speaker and text, and links to the item and the conversation."""
    item = make_item(
        user_id="ada",
        session_id="trip",
        item_type="fact",
        persona_active="Sage",
        metadata={"role": "assistant"},
        text_content="Lisbon is\nwarm " + "and sunny " * 50,
        timestamp=NOON,
    )
    page = superuser.get(url("memoryitem")).content.decode()
    for shown in (
        "2026-03-01</span> <span>12:00:00",
        "ada",
        "trip",
        "fact",
        "assistant / Sage",
        "Lisbon is warm and sunny",
        "…",
    ):
        assert shown in page
    assert "and sunny " * 50 not in page
    assert url("memoryitem", "change", item.pk) in page
    assert f"{url('usersession', 'conversation', 'ada:trip')}?item={item.pk}#here" in page


def test_columns_of_agent_data_and_sessions(
    superuser: Client,
    url: Url,
    make_item: Callable[..., MemoryItem],
    make_agent_data: Callable[..., AgentData],
) -> None:
    """Agent data shows the start of the content; sessions show a title and a link to the conversation."""
    make_agent_data(agent_id="planner", content={"steps": ["pack", "go"]})
    UserSession(user_id="ada", session_id="trip", metadata={"title": "A trip to Lisbon"}).save()
    assert "{&quot;steps&quot;: [&quot;pack&quot;, &quot;go&quot;]}" in superuser.get(url("agentdata")).content.decode()
    page = superuser.get(url("usersession")).content.decode()
    assert "A trip to Lisbon" in page
    assert url("usersession", "conversation", "ada:trip") in page


def test_expired_records_are_not_listed(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Expired records are hidden in the admin, too."""
    make_item(expiration=timezone.now() - timedelta(seconds=1))
    kept = make_item()
    assert listed(superuser, url("memoryitem")) == [kept]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "abcd"),
        ({"q": "grace"}, "b"),
        ({"q": "TRIP"}, "ab"),
        ({"q": "straße"}, "c"),
        ({"q": "ada ocean"}, "a"),
        ({"q": "100%"}, "d"),
        ({"user_id": "ada"}, "acd"),
        ({"user_id": "ad"}, ""),
        ({"session_id": "trip", "user_id": "ada"}, "a"),
        ({"item_type": "fact"}, "c"),
        ({"role": "assistant"}, "b"),
        ({"role": "critic"}, "d"),
        ({"persona_active": "Sage"}, "b"),
        ({"expiring": "day"}, "a"),
        ({"expiring": "week"}, "ab"),
        ({"expiring": "month"}, "ab"),
        ({"expiring": "never"}, "cd"),
        ({"timestamp__year": "2025"}, "d"),
        ({"timestamp__gte": "2026-03-01 00:00:00+00:00", "timestamp__lt": "2026-03-02 00:00:00+00:00"}, "ac"),
    ],
)
def test_items_are_found(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], query: dict[str, str], found: str
) -> None:
    """Items are found by words in user, session and text, by filters and by date."""
    now = timezone.now()
    make_item(id="a", session_id="trip", text_content="the Ocean", timestamp=NOON, expiration=now + timedelta(hours=1))
    make_item(
        id="b",
        user_id="grace",
        session_id="trip",
        persona_active="Sage",
        metadata={"role": "assistant"},
        expiration=now + timedelta(days=2),
    )
    make_item(id="c", item_type="fact", text_content="STRASSE or Straße", timestamp=NOON + timedelta(hours=1))
    make_item(id="d", metadata={"role": "critic"}, text_content="100% sure", timestamp=NOON.replace(year=2025))
    assert sorted(item.pk for item in listed(superuser, url("memoryitem"), **query)) == sorted(found)


def test_sessions_are_found_by_their_titles(superuser: Client, url: Url) -> None:
    """The search includes titles in the metadata."""
    for name, title in (("one", "A trip to Lisbon"), ("two", "Taxes"), ("three", None)):
        UserSession(user_id="ada", session_id=name, metadata={"title": title} if title else {}).save()
    assert [session.session_id for session in listed(superuser, url("usersession"), q="lisbon")] == ["one"]


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # a test's own rows count towards no limit
def test_search_that_is_too_broad_shows_a_message(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database refuses the search, the list without it is shown with a message."""
    make_item(text_content="needle", user_id="ada")
    make_item(text_content="hay", user_id="ada")
    make_item(text_content="needle", user_id="bob")
    monkeypatch.setitem(connections["memory"].settings_dict, "OPTIONS", {"mirror_limit": 1})
    response = superuser.get(url("memoryitem"), {"q": "needle"}, follow=True)
    bounded = connections["memory"].vendor == "firestore"
    assert [str(message).split(".")[0] for message in response.context["messages"]] == (
        ["The search is too broad"] if bounded else []
    )
    assert len(response.context["cl"].result_list) == (3 if bounded else 2)
    assert len(listed(superuser, url("memoryitem"), q="needle", user_id="bob")) == 1


LOOKED_UP = "The list was looked up in the newest 2 records. Other filters narrow it."


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # a test's own rows count towards no limit
@pytest.mark.parametrize(
    ("query", "found", "is_told"),
    [
        ({"q": "needle"}, ["new"], True),
        ({"role": "user"}, ["new"], True),
        ({"as_of": "2020-01-01"}, ["new", "newer"], True),
        ({"expiring": "never"}, ["new", "newer"], True),
        ({"q": "needle", "item_type": "fact"}, ["old"], False),
        ({"role": "user", "item_type": "fact", "user_id": "ada"}, ["old"], False),
        ({"q": "needle", "timestamp_to": "2026-03-01"}, ["old", "older"], True),
        ({"q": "user:ada"}, ["new", "newer", "old", "older", "oldest"], False),
        ({"q": "needle", "timestamp__year": "2025"}, [], False),
        ({"item_type": "message"}, ["new", "newer"], False),
    ],
)
def test_words_and_roles_are_looked_up_in_the_newest_records(
    superuser: Client,
    url: Url,
    make_item: Callable[..., MemoryItem],
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
    found: list[str],
    is_told: bool,
) -> None:
    """Of those that pass the other filters, with a message if there are more. A list without them has all records."""
    if connections["memory"].vendor == "firestore":
        pytest.skip("The engine bounds what is read.")
    monkeypatch.setattr(change_lists, "MOST_LOOKED_UP", 2)
    kinds = {"older": "event", "old": "fact", "new": "message", "newer": "message", "oldest": "event"}
    for days, id in enumerate(("oldest", "older", "old", "new", "newer")):
        words = "hay" if id == "newer" else "needle"
        role = {"role": "tool" if id == "newer" else "user"}
        moment = NOON + timedelta(days=days - 2)
        make_item(id=id, item_type=kinds[id], text_content=words, metadata=role, timestamp=moment)
    response = superuser.get(url("memoryitem"), query)
    assert sorted(item.pk for item in response.context["cl"].result_list) == found
    assert [str(message) for message in response.context["messages"]] == ([LOOKED_UP] if is_told else [])


def test_a_list_that_looks_values_up_reads_a_bounded_part(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQL every query of items has a LIMIT or a range of time, whatever the search; one query finds the range."""
    if connections["memory"].vendor == "firestore":
        pytest.skip("The engine bounds what is read.")
    monkeypatch.setattr(change_lists, "MOST_LOOKED_UP", 2)
    for number in range(5):
        make_item(text_content="hay", timestamp=NOON + timedelta(days=number))
    for query in ({"q": "needle"}, {"role": "critic"}, {"q": "user:ada", "role": "critic"}):
        with CaptureQueriesContext(connections["memory"]) as captured:
            assert listed(superuser, url("memoryitem"), **query) == []
        reading = [one["sql"] for one in captured if "LIKE" in one["sql"] or "JSON" in one["sql"]]
        assert all('"timestamp" >=' in sql for sql in reading)


@pytest.mark.parametrize("most", [0, 1])
def test_few_items_that_expire_soon_are_read_by_the_index(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """With two ends on SQL; many are read in the order of time. The records are the same."""
    monkeypatch.setattr(filters, "MOST_SORTED", most)
    item = make_item(expiration=timezone.now() + timedelta(hours=1))
    make_item()
    with CaptureQueriesContext(connections["memory"]) as captured:
        assert listed(superuser, url("memoryitem"), expiring="day") == [item]
    if connections["memory"].vendor != "firestore":
        lists = [one["sql"] for one in captured if "ORDER BY" in one["sql"] and '"expiration" <=' in one["sql"]]
        assert lists
        assert all(('"expiration" >' in sql) == bool(most) for sql in lists)


def test_filters_offer_the_stored_values(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Distinct values in order, and the selected one even if no record has it. Without values there is no filter."""
    for item_type in ("message", "fact", "message", "event"):
        make_item(item_type=item_type)
    response = superuser.get(url("memoryitem"), {"item_type": "rare"})
    offered = {
        spec.title: [value for value, _ in spec.lookup_choices]
        for spec in response.context["cl"].filter_specs
        if hasattr(spec, "lookup_choices")
    }
    assert offered["type"] == ["event", "fact", "message", "rare"]
    assert "persona" not in offered


def test_text_filter_keeps_the_other_parameters(superuser: Client, url: Url) -> None:
    """The form of the user filter keeps the search and the type."""
    page = superuser.get(url("memoryitem"), {"q": "word", "item_type": "fact", "user_id": "ada"}).content.decode()
    form = page.split('<input type="text" name="user_id" value="ada"')[0].rsplit("<form", 1)[1]
    assert '<input type="hidden" name="q" value="word">' in form
    assert '<input type="hidden" name="item_type" value="fact">' in form


@pytest.mark.parametrize("query", [{"timestamp__gte": "soon"}, {"p": "x"}, {"o": "99"}, {"q": "a\0b"}, {"role": "\0"}])
def test_invalid_parameters_cause_no_server_errors(superuser: Client, url: Url, query: dict[str, str]) -> None:
    """Invalid URLs return a page or a redirect."""
    assert superuser.get(url("memoryitem"), query, follow=True).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_number_of_queries_does_not_depend_on_rows(
    superuser: Client,
    url: Url,
    make_item: Callable[..., MemoryItem],
    make_agent_data: Callable[..., AgentData],
    model: str,
) -> None:
    """1 and 80 rows need the same queries, one of them a count; vectors are not loaded."""

    def fill(start: int, end: int) -> None:
        for number in range(start, end):
            make_item(session_id=f"s{number}", timestamp=NOON + timedelta(seconds=number), embedding=[1.0])
            make_agent_data(timestamp=NOON + timedelta(seconds=number))

    fill(0, 1)
    one = queries(superuser, url(model))
    fill(1, 80)
    many = queries(superuser, url(model))
    assert len(one) == len(many)
    assert sum("COUNT(" in sql for sql in many) == 1
    assert not any('"embedding"' in sql for sql in many)
    assert not any("JOIN" in sql for sql in many if "memory_items" in sql or "user_sessions" in sql)


def test_date_hierarchy_links_to_records(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """Years, months and days of the listed records, each once with a link."""
    for moment in ("2024-12-31", "2025-01-01", "2025-01-31", "2025-12-31", "2025-12-31", "9999-12-31"):
        make_item(id=f"{moment}-{new_id()}", timestamp=datetime.fromisoformat(f"{moment}T23:30:00+00:00"))
    make_item(timestamp=NOON, user_id="eve")

    def choices(**query: str) -> list[str]:
        page = superuser.get(url("memoryitem"), {"user_id": "ada", **query}).content.decode()
        bar = re.split(r'<nav class="toplinks"[^>]*>', page)[1].split("</nav>")[0]
        shown = re.sub(r"<[^>]*>", "", re.sub(r"<a[^>]*date-back.*?</a>|<span.*?</span>", "", bar))
        return [line.strip() for line in shown.splitlines() if line.strip()]

    assert choices() == ["2024", "2025", "9999"]
    assert choices(timestamp__year="2025") == ["January 2025", "December 2025"]
    assert choices(timestamp__year="2025", timestamp__month="1") == ["January 1", "January 31"]
    assert choices(timestamp__year="2025", timestamp__month="12") == ["December 31"]
    assert choices(timestamp__year="2025", timestamp__month="12", timestamp__day="31") == ["December 31"]
    found = listed(superuser, url("memoryitem"), timestamp__year="2025", timestamp__month="12", timestamp__day="31")
    assert [item.pk[:10] for item in found] == ["2025-12-31", "2025-12-31"]
    with timezone.override("Pacific/Auckland"):
        assert choices(timestamp__year="2025", timestamp__month="1") == ["January 1", "January 2"]


ZONES = ("UTC", "Pacific/Auckland", "America/New_York")


@pytest.mark.parametrize("zone", ZONES)
def test_first_and_last_times_are_shown(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., Any], zone: str
) -> None:
    """Every time that the API accepts has a place in lists, date bars, forms and conversations, in every time zone."""
    for pk, moment in (
        ("first", "0001-01-01T00:00:00"),
        ("last", "9999-12-31T23:59:59"),
        ("may", "9999-05-01T12:00:00"),
    ):
        make_item(id=pk, session_id="s", timestamp=datetime.fromisoformat(f"{moment}+00:00"))
    make_agent_data(timestamp=datetime.max.replace(tzinfo=UTC))
    year = {"timestamp__year": "9999"}
    december = {**year, "timestamp__month": "12"}
    with timezone.override(zone):
        for query in ({}, year, december, {**december, "timestamp__day": "31"}, {"timestamp__year": "1"}):
            page = superuser.get(url("memoryitem"), query)
            assert page.status_code == 200, query
            shown = {item.pk for item in page.context["cl"].result_list}
            assert ("last" in shown) == (query.get("timestamp__year") != "1")
        assert b"May 9999" in superuser.get(url("memoryitem"), year).content
        assert b"December 9999" in superuser.get(url("memoryitem"), year).content
        for model in ("usersession", "agentdata"):
            assert superuser.get(url(model)).status_code == 200
        for pk in ("first", "last"):
            assert superuser.get(url("memoryitem", "change", pk)).status_code == 200
        assert superuser.get(url("usersession", "change", "ada:s")).status_code == 200
        assert superuser.get(f"{url('usersession')}{'ada:s'}/conversation/").status_code in (200, 302)


def test_date_hierarchy_uses_the_index(superuser: Client, url: Url, make_item: Callable[..., MemoryItem]) -> None:
    """No query evaluates a function of all records' times."""
    for number in range(40):
        make_item(timestamp=NOON + timedelta(hours=7 * number))
    asked = queries(superuser, url("memoryitem"))
    of_times = [sql for sql in asked if "timestamp" in sql.partition(" FROM ")[0]]
    assert not any("DISTINCT" in sql or "MIN(" in sql for sql in of_times)
    assert len(asked) < 40


def test_user_content_is_escaped(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData]
) -> None:
    """Markup in columns, filters and parameters is escaped."""
    make_item(
        user_id=SCRIPT.replace("/", ""),
        session_id="<script>",
        item_type=SCRIPT,
        persona_active=SCRIPT,
        text_content=SCRIPT,
        metadata={"role": SCRIPT},
    )
    make_agent_data(agent_id="<script>", data_type=SCRIPT, content=SCRIPT)
    UserSession(user_id="a", session_id="b", metadata={"title": SCRIPT}).save()
    for model in MODELS:
        page = superuser.get(url(model), {"q": "script"}).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
    page = superuser.get(url("memoryitem"), {"user_id": '"><script>alert(1)</script>', "role": SCRIPT}).content.decode()
    assert "<script>alert" not in page


def test_admin_log_is_in_the_default_database(
    superuser: Client, url: Url, make_item: Callable[..., MemoryItem]
) -> None:
    """The history works although records and the admin log are in different databases."""
    item = make_item()
    form = superuser.get(url("memoryitem", "change", item.pk)).context["adminform"].form
    data = {**{f"{key}": form.initial.get(key) or "" for key in ("item_type", "text_content")}, "metadata": "{}"}
    data |= {"timestamp_0": "2026-03-01", "timestamp_1": "12:00:00", "text_content": "changed"}
    assert superuser.post(url("memoryitem", "change", item.pk), data).status_code == 302
    assert LogEntry.objects.using("default").get().object_id == item.pk
    assert "Changed" in superuser.get(url("memoryitem", "history", item.pk)).content.decode()
    assert superuser.get("/admin/").status_code == 200


MOST_QUERIES = 110
"""Of one page. Each value that a filter offers is one query: 25 types and 25 personas."""


@pytest.fixture
def scattered() -> int:
    """Records whose values all differ: times in as many years, users, sessions, types, personas."""
    count = 500
    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=f"user {number}",
            session_id=f"session {number}",
            item_type=f"type {number}",
            persona_active=f"persona {number}",
            metadata={"role": f"role {number}"},
            text_content=f"text {number}",
            timestamp=datetime(1500 + number, 1 + number % 12, 1 + number % 28, tzinfo=UTC),
        )
        for number in range(count)
    )
    AgentData.objects.bulk_create(
        AgentData(agent_id=f"agent {number}", data_type=f"type {number}", timestamp=NOON.replace(year=1500 + number))
        for number in range(count)
    )
    return count


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "query", ["", "?{0}__year=1950", "?{0}__year=1950&{0}__month=3", "?all=", "?o=-1", "?user_id=user+3"]
)
def test_the_number_of_queries_does_not_depend_on_the_data(
    superuser: Client, url: Url, scattered: int, model: str, query: str
) -> None:
    """A list of records whose values and years all differ takes a bounded number of queries."""
    time = "last_activity" if model == "usersession" else "timestamp"
    if model == "agentdata":
        query = query.replace("user_id", "agent_id")
    counted = queries(superuser, url(model) + query.format(time))
    assert len(counted) <= MOST_QUERIES


def test_the_bar_of_dates_lists_the_newest_years(superuser: Client, url: Url, scattered: int) -> None:
    """Twenty years, ascending, each with a link; older ones are reached by a filter in the URL."""
    page = superuser.get(url("memoryitem")).content.decode()
    assert re.findall(r"\?timestamp__year=(\d+)", page) == [str(year) for year in range(1980, 2000)]
    assert len(listed(superuser, url("memoryitem"), timestamp__year="1950")) == 1


def test_deleting_sessions_of_many_users_counts_their_items_in_few_queries(
    superuser: Client, url: Url, scattered: int
) -> None:
    """The confirmation of a deletion takes one query for 30 sessions, whoever they belong to."""
    chosen = [session.pk for session in UserSession.objects.all()[:100]]
    with CaptureQueriesContext(connections["memory"]) as captured:
        response = superuser.post(url("usersession"), {"action": "delete_selected", "_selected_action": chosen})
    assert response.status_code == 200
    assert "Memory items: 100" in response.content.decode()
    assert len(captured) <= 30
