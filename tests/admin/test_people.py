"""The people: their list, their pages, export and erasure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.admin import erasing, people, person
from memory.models import AgentPart, MemoryItem, SearchIndex, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

PEOPLE = "/admin/memory/memoryitem/people/"
STRANGE = ("a/b", "a b", "../x", "ünï 京都", "_3A", "<script>", "people", "x" * 200, "page")
MOST_QUERIES = 210
"""Of a page of the list: two to find each person, two counts and two newest times."""


def names(client: Client, **query: str) -> list[str]:
    """The names on a page of the list."""
    return [person.name for person in client.get(PEOPLE, query).context["people"]]


def test_everybody_is_listed_once(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """People with items in sessions, with items alone, with sessions alone, and with expired items."""
    make_item(user_id="items", session_id=None)
    make_item(user_id="both", session_id="s")
    make_item(user_id="expired", session_id=None, expiration=timezone.now() - timedelta(days=1))
    UserSession(user_id="sessions", session_id="s").save()
    assert names(superuser) == ["both", "expired", "items", "sessions"]
    rows = {person.name: person for person in superuser.get(PEOPLE).context["people"]}
    assert [(str(rows[one].sessions), str(rows[one].items)) for one in ("both", "expired", "items", "sessions")] == [
        ("1", "1"), ("0", "1"), ("0", "1"), ("1", "0")]  # fmt: skip
    assert rows["both"].last == MemoryItem.objects.get(user_id="both").timestamp


def test_pages_follow_each_other(superuser: Client) -> None:
    """Each name is on one page, in a bounded number of queries, however many there are."""
    expected = [f"u{number:03}" for number in range(2 * people.PAGE_SIZE + 3)]
    MemoryItem.objects.bulk_create(
        MemoryItem(user_id=name, session_id=f"s{number}", item_type="message")
        for name in expected
        for number in range(2)
    )
    found: list[str] = []
    query = "?"
    while query:
        with CaptureQueriesContext(connections["memory"]) as captured:
            context = superuser.get(PEOPLE + query).context
        assert len(captured) <= MOST_QUERIES
        found += [person.name for person in context["people"]]
        query = f"?{context['more']}" if context["more"] else ""
    assert found == expected
    assert names(superuser, q="u04") == expected[40:50]


def test_a_part_of_a_name_finds_people(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """Names that begin with it; those that have it elsewhere, of people who are indexed."""
    for name in ("Ada Lovelace", "Ada Byron", "Grace", "lovely"):
        make_item(user_id=name)
    SearchIndex.objects.create(pk="Ada Lovelace", user_id="Ada Lovelace")
    assert names(superuser, q="Ada") == ["Ada Byron", "Ada Lovelace"]
    assert names(superuser, q="love") == ["Ada Lovelace", "lovely"]
    assert names(superuser, q="nobody") == []
    assert superuser.get(f"{PEOPLE}names/", {"q": "love"}).json() == {"names": ["Ada Lovelace", "lovely"]}
    assert superuser.get(f"{PEOPLE}names/").json() == {"names": ["Ada Byron", "Ada Lovelace", "Grace", "lovely"]}


def test_too_many_people_to_look_into(
    superuser: Client, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that begin with the text are found nevertheless, and the page says so."""
    connection = connections["memory"]
    if connection.vendor != "firestore":
        pytest.skip("SQL has no limit")
    for number in range(3):
        make_item(user_id=f"u{number}")
        SearchIndex.objects.create(pk=f"u{number}", user_id=f"u{number}")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "mirror_limit", 2)
    response = superuser.get(PEOPLE, {"q": "u1"})
    assert [person.name for person in response.context["people"]] == ["u1"]
    assert "too many people" in response.content.decode()
    assert superuser.get(f"{PEOPLE}names/", {"q": "u2"}).json() == {"names": ["u2"]}


@pytest.mark.parametrize("name", STRANGE)
def test_page_of_a_person(superuser: Client, make_item: Callable[..., MemoryItem], name: str) -> None:
    """Whatever the name is: numbers, sessions, facts, and links that lead to the person's records."""
    now = timezone.now()
    make_item(user_id=name, session_id="s", text_content="hello", timestamp=now)
    make_item(user_id=name, session_id="s", item_type="fact", text_content="likes trains", timestamp=now)
    make_item(user_id="other", session_id="s", item_type="fact", text_content="zeppelin", timestamp=now)
    response = superuser.get(people.person_url(name))
    page = response.content.decode()
    assert "likes trains" in page
    assert "zeppelin" not in page
    assert "<script>likes" not in page
    context = response.context
    assert (str(context["items"]), str(context["sessions_count"]), str(context["waiting"])) == ("2", "1", "2")
    assert sum(bar.value.number for bar in context["plot"].bars) == 2
    assert {level.value.label: level.value.number for level in context["types"]} == {"message": 1, "fact": 1}
    day = next(bar.value.url for bar in context["plot"].bars if bar.value.number)
    for link in (context["items_url"], day, context["sessions_url"]):
        assert len(superuser.get(link).context["cl"].result_list) == (1 if link == context["sessions_url"] else 2)


def test_size_is_that_of_the_documents(make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact for few items, an estimate by the newest for many."""
    for number in range(4):
        make_item(id=f"i{number}", text_content="x" * 1_000)
    exact = person.size_of("ada", person.Count(4))
    assert not exact.is_estimate
    assert 4_000 < exact.bytes < 6_000
    monkeypatch.setattr(person, "MEASURED", 2)
    estimate = person.size_of("ada", person.Count(4))
    assert estimate.is_estimate
    assert abs(estimate.bytes - exact.bytes) < 40


def test_export(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """The person's sessions and items, and nobody else's."""
    make_item(id="a", user_id="ada", session_id="s")
    make_item(id="b", user_id="bob", session_id="s")
    response: Any = superuser.get(f"{PEOPLE}ada/export/")
    lines = [json.loads(line) for line in b"".join(response.streaming_content).decode().splitlines()]
    assert [(line["model"], line["id"]) for line in lines] == [("UserSession", "ada:s"), ("MemoryItem", "a")]
    assert "ada-" in response["Content-Disposition"]


def test_erasure(superuser: Client, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch) -> None:
    """In several requests: items, expired ones too, sessions, the index and the log; nothing of anybody else."""
    monkeypatch.setattr(erasing, "ERASED_AT_ONCE", 2)
    for number in range(3):
        make_item(id=f"a{number}", session_id="s")
    make_item(id="gone", expiration=timezone.now() - timedelta(days=1))
    make_item(id="b", user_id="bob", session_id="s")
    SearchIndex.objects.create(pk="ada", user_id="ada")
    kind = ContentType.objects.get_for_model(MemoryItem)
    user = User.objects.get(username="superuser")
    LogEntry.objects.log_actions(user.pk, MemoryItem.objects.filter(pk__in=["a0", "b"]), CHANGE, "changed")
    erase = f"{PEOPLE}ada/erase/"
    question = superuser.get(erase).content.decode()
    assert "items (4), sessions (1)" in question
    assert "6 records are deleted, and 2 of others are looked through" in question
    assert ("US dollars" in question) is (connections["memory"].vendor == "firestore")
    assert superuser.post(erase).headers["Location"] == erase
    assert MemoryItem.all_objects.filter(user_id="ada").count() == 2
    assert "2 records were erased" in superuser.get(erase).content.decode()
    posts = 1
    while superuser.post(erase).headers["Location"] == erase:
        posts += 1
    assert posts == 3  # 4 items, a session, an index, an entry of the log: two at a time
    assert not MemoryItem.all_objects.filter(user_id="ada").exists()
    assert not UserSession.objects.filter(user_id="ada").exists()
    assert not SearchIndex.objects.exists()
    assert list(LogEntry.objects.filter(content_type=kind).values_list("object_id", flat=True)) == ["b"]
    assert names(superuser) == ["bob"]
    assert superuser.get(erase).status_code == 404
    assert superuser.get(people.person_url("ada")).status_code == 404
    receipt = json.loads(superuser.get(f"{PEOPLE}ada/receipt/").json()["payload"])
    assert receipt["counts"]["memory_items"] == 4
    assert receipt["requested_by"] == "superuser"
    assert superuser.get(f"{PEOPLE}bob/receipt/").status_code == 404


def test_who_has_no_items_can_be_erased(superuser: Client) -> None:
    """A person of whom other things are stored than items and sessions."""
    AgentPart(user_id="eve", thread_id="t", data=b"{}").save()
    url = f"{PEOPLE}eve/erase/"
    assert "1 records are deleted" in superuser.get(url).content.decode()
    superuser.post(url)
    assert not AgentPart.objects.exists()


def test_export_to_read(superuser: Client, make_item: Callable[..., MemoryItem]) -> None:
    """A page with all texts, escaped, and nothing of others."""
    make_item(user_id="ada", session_id="s", text_content="<script>hello</script>")
    make_item(user_id="bob", text_content="secret of bob")
    response: Any = superuser.get(f"{PEOPLE}ada/export/", {"format": "html"})
    page = b"".join(response.streaming_content).decode()
    assert "&lt;script&gt;hello&lt;/script&gt;" in page
    assert "secret of bob" not in page
    assert response["Content-Type"].startswith("text/html")
    assert "attachment" in response["Content-Disposition"]


def test_permissions(staff: Callable[..., Client], make_item: Callable[..., MemoryItem]) -> None:
    """Reading needs both view permissions, erasing both delete permissions or the one to erase people, too."""
    make_item(session_id="s")
    reading = (PEOPLE, f"{PEOPLE}names/", people.person_url("ada"), f"{PEOPLE}ada/export/")
    for permissions in (("view_memoryitem",), ("view_usersession",)):
        client = staff(*permissions)
        assert {client.get(one).status_code for one in (*reading, f"{PEOPLE}ada/erase/")} == {403}
    client = staff("view_memoryitem", "view_usersession")
    assert {client.get(one).status_code for one in reading} == {200}
    assert client.post(f"{PEOPLE}ada/erase/").status_code == 403
    assert "erase/" not in client.get(people.person_url("ada")).content.decode()
    assert (
        staff("view_memoryitem", "view_usersession", "delete_memoryitem").post(f"{PEOPLE}ada/erase/").status_code == 403
    )
    assert MemoryItem.objects.exists()
    assert staff("view_memoryitem", "view_usersession", "erase_person").get(f"{PEOPLE}ada/erase/").status_code == 200
