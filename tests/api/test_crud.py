"""Create, retrieve, update, delete and ownership of records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from memory.api.serializers import VALIDITY
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ITEMS = "/api/memory-items/"
NEW = {
    ITEMS: {"item_type": "message"},
    "/api/agent-data/": {"data_type": "plan"},
    "/api/sessions/": {"session_id": "chat-1"},
}
ITEM = {
    "id": "my id",
    "user_id": "ada",
    "session_id": "chat-1",
    "timestamp": "2026-01-31T12:00:00.000001Z",
    "item_type": "message",
    "persona_active": "guide",
    "text_content": " kept  as it is\n",
    "embedding": [0.5, -1.0],
    "metadata": {"role": "user", "a.b": [1, {"c": None}]},
    "expiration": "2999-01-01T00:00:00Z",
}
EMPTY: dict[str, Any] = {name: [] if name in ("supersedes", "derived_from") else None for name in VALIDITY}


def test_item_is_returned_as_it_was_sent(ada: APIClient) -> None:
    """POST and GET return all values untrimmed and uncoerced."""
    created = ada.post(ITEMS, ITEM, format="json")
    assert created.status_code == 201
    assert created.json() == {**EMPTY, **ITEM}
    assert created["Location"] == "http://testserver/api/memory-items/my%20id/"
    assert ada.get(created["Location"]).json() == {**EMPTY, **ITEM}


def test_an_item_supersedes_others(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Lists and searches answer as of a time; an item of another user is refused."""
    old, other = make_item(text_content="Ada lives in Ghent."), make_item(user_id="bob")
    values = {"item_type": "fact", "text_content": "Ada lives in Lyon.", "supersedes": [old.pk], "source": "a letter"}
    refused = ada.post(ITEMS, {**values, "supersedes": [other.pk]}, format="json")
    assert (refused.status_code, list(codes(refused))) == (400, ["supersedes"])
    new = ada.post(ITEMS, values, format="json").json()
    assert new["valid_from"] == new["timestamp"]
    assert ada.get(f"{ITEMS}{old.pk}/").json()["superseded_by"] == new["id"]
    assert len(ada.get(ITEMS, {"as_of": "all"}).json()["results"]) == 2
    for now in ({}, {"as_of": "now"}):
        assert [one["id"] for one in ada.get(ITEMS, now).json()["results"]] == [new["id"]]
    before = {"as_of": old.timestamp.isoformat().replace("+00:00", "Z")}
    assert [one["id"] for one in ada.get(ITEMS, before).json()["results"]] == [old.pk]
    assert ada.get(ITEMS, {"as_of": "then"}).status_code == 400
    found = ada.get(f"{ITEMS}search/", {"q": "Where does Ada live?"}).json()["results"]
    assert [(one["id"], one["valid"]) for one in found] == [(new["id"], True), (old.pk, False)]
    asked = {"questions": ["Where does Ada live?"], "as_of": before["as_of"], "touch": True, "recency": 0.1}
    [answer] = ada.post(f"{ITEMS}search/", asked, format="json").json()["searches"]
    assert [one["valid"] for one in answer["results"]] == [True, False]
    assert MemoryItem.objects.filter(touched__isnull=False).count() == 2


@pytest.mark.parametrize("collection", NEW)
def test_defaults_of_a_new_record(ada: APIClient, collection: str) -> None:
    """A new record gets an id, the principal as owner, and the current time."""
    created = ada.post(collection, NEW[collection], format="json").json()
    assert created["id"]
    assert created.get("user_id", created.get("agent_id")) == "ada"
    assert created.get("timestamp", created.get("started_at")).endswith("Z")
    assert created["metadata"] == {}


@pytest.mark.parametrize("collection", NEW)
def test_response_of_get_is_valid_for_put(ada: APIClient, collection: str) -> None:
    """A PUT of a GET's response changes nothing."""
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    before = ada.get(url).json()
    response = ada.put(url, before, format="json")
    assert response.status_code == 200
    assert response.json() == before == ada.get(url).json()


@pytest.mark.parametrize("collection", NEW)
def test_put_requires_all_fields_except_the_id(ada: APIClient, collection: str) -> None:
    """Missing fields of a PUT are reported by field."""
    created = ada.post(collection, NEW[collection], format="json")
    response = ada.put(created["Location"], {}, format="json")
    assert response.status_code == 400
    assert codes(response) == {name: ["required"] for name in created.json() if name not in ("id", *VALIDITY)}


def test_patch_updates_only_the_given_fields(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Fields that a PATCH omits keep their values."""
    item = make_item(text_content="old", metadata={"a": 1})
    assert ada.patch(f"{ITEMS}{item.pk}/", {"text_content": "new"}, format="json").status_code == 200
    item.refresh_from_db()
    assert (item.text_content, item.metadata) == ("new", {"a": 1})
    assert MemoryItem.objects.duplicates_of(MemoryItem(user_id="ada", item_type="message", text_content="new")).exists()


def test_empty_patch_changes_nothing(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """An empty PATCH succeeds."""
    item = make_item()
    assert ada.patch(f"{ITEMS}{item.pk}/", {}, format="json").status_code == 200


def test_id_is_immutable(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """An id in the body other than the one in the URL is an error."""
    item = make_item()
    assert codes(ada.patch(f"{ITEMS}{item.pk}/", {"id": "another"}, format="json")) == {"id": ["immutable"]}
    assert ada.patch(f"{ITEMS}{item.pk}/", {"id": item.pk}, format="json").status_code == 200


def test_delete(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The record is deleted; a second DELETE returns 404."""
    item = make_item()
    assert ada.delete(f"{ITEMS}{item.pk}/").status_code == 204
    assert not MemoryItem.all_objects.exists()
    assert ada.delete(f"{ITEMS}{item.pk}/").status_code == 404


@pytest.mark.parametrize("name", ["ITEMS", "AGENT"])
def test_existing_id_is_rejected(
    ada: APIClient, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData], name: str
) -> None:
    """The same error for own, other users' and expired records, without the owner."""
    past = timezone.now() - timedelta(days=1)
    make, collection = (make_item, ITEMS) if name == "ITEMS" else (make_agent_data, "/api/agent-data/")
    owner = "user_id" if name == "ITEMS" else "agent_id"
    for pk, values in {"own": {owner: "ada"}, "bobs": {owner: "bob"}, "expired": {"expiration": past}}.items():
        make(id=pk, **values)
        response = ada.post(collection, {**NEW[collection], "id": pk}, format="json")
        assert response.status_code == 400
        assert codes(response) == {"id": ["taken"]}
        assert "bob" not in response.json()["error"]["message"]


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
@pytest.mark.parametrize("collection", NEW)
def test_records_of_other_users_return_404(ada: APIClient, bob: APIClient, collection: str, method: str) -> None:
    """All methods return 404 and leave the record unchanged."""
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    before = ada.get(url).json()
    body = None if method == "get" else before
    assert getattr(bob, method)(url, body, format="json").status_code == 404
    assert bob.get(collection).json()["results"] == []
    assert ada.get(url).json() == before


@pytest.mark.parametrize("collection", NEW)
def test_owner_must_be_the_principal(ada: APIClient, collection: str) -> None:
    """Neither POST nor PATCH accepts another owner."""
    owner = "agent_id" if "agent" in collection else "user_id"
    assert codes(ada.post(collection, {**NEW[collection], owner: "bob"}, format="json")) == {owner: ["not_yours"]}
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    assert codes(ada.patch(url, {owner: "bob"}, format="json")) == {owner: ["not_yours"]}


@pytest.mark.parametrize("collection", NEW)
def test_permission_grants_access_to_all_records(ada: APIClient, operator: APIClient, collection: str) -> None:
    """`memory.act_for_any_user` reads, creates and updates records of any user."""
    owner = "agent_id" if "agent" in collection else "user_id"
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    assert operator.get(url).status_code == 200
    assert operator.patch(url, {"metadata": {"seen": True}}, format="json").status_code == 200
    assert operator.post(collection, {**NEW[collection], owner: "carol"}, format="json").json()[owner] == "carol"
    assert {row[owner] for row in operator.get(collection).json()["results"]} == {"ada", "carol"}
    assert [row[owner] for row in operator.get(collection, {owner: "carol"}).json()["results"]] == ["carol"]


def test_expired_items_are_not_returned(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Neither in lists, by id, in the history, nor as a duplicate."""
    item = make_item(session_id="s", text_content="gone", expiration=timezone.now() - timedelta(seconds=1))
    assert ada.get(ITEMS).json()["results"] == []
    assert ada.get(f"{ITEMS}{item.pk}/").status_code == 404
    assert ada.get("/api/sessions/ada:s/history/").json()["results"] == []
    asked = {"item_type": "message", "text_content": "gone"}
    assert ada.post(f"{ITEMS}check-duplicate/", asked, format="json").json() == {"duplicate": False, "id": None}


@pytest.mark.parametrize("slash", ["", "/"])
def test_trailing_slash_is_optional(ada: APIClient, slash: str) -> None:
    """All methods work with and without it, without a redirect."""
    assert ada.post(f"/api/memory-items{slash}", {"item_type": "m", "id": "x"}, format="json").status_code == 201
    assert ada.get(f"/api/memory-items{slash}").status_code == 200
    assert ada.patch(f"/api/memory-items/x{slash}", {}, format="json").status_code == 200
    body = {"items": [{"item_type": "m"}]}
    assert ada.post(f"/api/memory-items/bulk{slash}", body, format="json").status_code == 201
    asked = {"item_type": "m", "text_content": ""}
    assert ada.post(f"/api/memory-items/check-duplicate{slash}", asked, format="json").status_code == 200
    for path in ("schema", "docs", "redoc"):
        assert ada.get(f"/api/{path}{slash}").status_code == 200


UNUSUAL_IDS = [
    "a.b",
    "100%",
    "%2F",
    "ünïcode 😀",
    "a?b#c",
    "a:b",
    "trailing.",
    "line\nbreak\n",
    " ",
    "+",
    '"',
    "~",
    "." * 3,
]


@pytest.mark.parametrize("unusual", UNUSUAL_IDS)
def test_unusual_ids_round_trip(ada: APIClient, unusual: str) -> None:
    """Every valid id works in a URL, percent-encoded."""
    item = ada.post(ITEMS, {"item_type": "m", "id": unusual, "session_id": unusual}, format="json")
    assert item.status_code == 201
    assert ada.get(item["Location"]).json()["id"] == unusual
    session = ada.get("/api/sessions/").json()["results"][0]
    assert session["session_id"] == unusual
    url = f"/api/sessions/{quote(session['id'], safe='')}/"
    assert ada.get(url).json() == session
    assert [found["id"] for found in ada.get(f"{url}history/").json()["results"]] == [unusual]


@pytest.mark.parametrize("pk", ["%00", "__x__", "x" * 1501, ".."])
def test_invalid_id_in_url_is_404(ada: APIClient, pk: str) -> None:
    """An id that the storage cannot hold returns 404."""
    assert ada.get(f"{ITEMS}{pk}/").status_code == 404


@pytest.mark.parametrize("pk", ["a/b", "__x__", "..", "x" * 1501, "é" * 751, "bulk", "check-duplicate", "search", ""])
def test_invalid_id_in_body_is_400(ada: APIClient, pk: str) -> None:
    """The error names `id`; paths of the API are invalid ids too."""
    assert list(codes(ada.post(ITEMS, {"item_type": "m", "id": pk}, format="json"))) == ["id"]


def test_session_is_created_by_items_or_explicitly(ada: APIClient) -> None:
    """A session exists once; creating it again is an error."""
    ada.post(ITEMS, {"item_type": "m", "session_id": "a"}, format="json")
    assert ada.get("/api/sessions/ada:a/").status_code == 200
    assert codes(ada.post("/api/sessions/", {"session_id": "a"}, format="json")) == {"session_id": ["taken"]}


def test_session_id_is_derived_from_user_and_session(ada: APIClient) -> None:
    """Another id, and later changes of user or session, are rejected."""
    assert codes(ada.post("/api/sessions/", {"session_id": "a", "id": "b"}, format="json")) == {"id": ["immutable"]}
    assert ada.post("/api/sessions/", {"session_id": "a", "id": "ada:a"}, format="json").status_code == 201
    assert list(codes(ada.patch("/api/sessions/ada:a/", {"session_id": "b"}, format="json"))) == ["session_id"]


def test_deleting_a_session_deletes_its_items(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Other sessions and their items remain."""
    make_item(session_id="a"), make_item(session_id="b"), make_item(session_id="a", user_id="bob")
    assert ada.delete("/api/sessions/ada:a/").status_code == 204
    assert sorted(UserSession.objects.values_list("pk", flat=True)) == ["ada:b", "bob:a"]
    assert MemoryItem.all_objects.count() == 2


@pytest.mark.parametrize(
    "delete",
    [
        lambda client, pk: client.delete(f"{ITEMS}{pk}/"),
        lambda client, pk: client.post(f"{ITEMS}bulk/delete/", {"ids": [pk, "none"]}, format="json"),
    ],
    ids=["one", "bulk"],
)
def test_deleting_an_item_corrects_the_times_of_its_session(
    ada: APIClient, make_item: Callable[..., MemoryItem], delete: Callable[[APIClient, str], Any]
) -> None:
    """They are those of the items that are left; a session whose last item is deleted keeps them."""
    times = [timezone.now().replace(microsecond=0) + timedelta(hours=number) for number in range(3)]
    for name, time in zip("abc", times, strict=True):
        make_item(id=name, session_id="s", timestamp=time)
    for gone, expected in (("c", times[:2]), ("a", [times[1], times[1]]), ("b", [times[1], times[1]])):
        assert delete(ada, gone).status_code < 300
        session = ada.get("/api/sessions/ada:s/").json()
        assert [datetime.fromisoformat(session[name]) for name in ("started_at", "last_activity")] == expected
    assert ada.get("/api/sessions/ada:s/history/").json()["results"] == []


def test_history_is_newest_first_and_paginated(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """20 items by default, only of this session."""
    start = timezone.now()
    for number in range(25):
        make_item(session_id="a", text_content=str(number), timestamp=start + timedelta(seconds=number))
    make_item(session_id="b")
    page = ada.get("/api/sessions/ada:a/history/").json()
    assert [item["text_content"] for item in page["results"]] == [str(number) for number in range(24, 4, -1)]
    assert page["has_more"] is True
    rest = ada.get(page["next"]).json()
    assert [item["text_content"] for item in rest["results"]] == ["4", "3", "2", "1", "0"]
    assert (rest["has_more"], rest["next"]) == (False, None)
    assert len(ada.get("/api/sessions/ada:a/history/?limit=2").json()["results"]) == 2
    assert codes(ada.get("/api/sessions/ada:a/history/?limit=201")) == {"limit": ["invalid"]}


def test_history_of_other_users_is_404(bob: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The same response as for a session that does not exist."""
    make_item(session_id="a")
    assert bob.get("/api/sessions/ada:a/history/").status_code == 404
    assert bob.get("/api/sessions/bob:a/history/").status_code == 404


def test_check_duplicate_finds_the_oldest(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Duplicates have the same user, type and text."""
    now = timezone.now()
    make_item(text_content="x", id="young", timestamp=now)
    make_item(text_content="x", id="old", timestamp=now - timedelta(days=1))
    make_item(text_content="x", user_id="bob", id="bobs", timestamp=now - timedelta(days=2))
    make_item(text_content="x", item_type="fact", id="fact", timestamp=now - timedelta(days=2))

    def check(client: APIClient, **asked: Any) -> Any:
        body = {"item_type": "message", "text_content": "x", **asked}
        return client.post(f"{ITEMS}check-duplicate/", body, format="json").json()

    assert check(ada) == {"duplicate": True, "id": "old"}
    assert check(ada, text_content="X") == {"duplicate": False, "id": None}
    assert check(ada, user_id="bob")["error"]["fields"]["user_id"][0]["code"] == "not_yours"


def test_check_duplicate_for_another_user(operator: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The permission allows to check any user's memory."""
    make_item(text_content="x", id="adas")
    asked = {"item_type": "message", "text_content": "x", "user_id": "ada"}
    assert operator.post(f"{ITEMS}check-duplicate/", asked, format="json").json() == {"duplicate": True, "id": "adas"}


def test_json_types_are_preserved(ada: APIClient) -> None:
    """JSON values keep their types in requests and responses."""
    content = [1, 1.5, "1", True, None, {"": "é😀", "big": 2**53}]
    created = ada.post("/api/agent-data/", {"data_type": "raw", "content": content}, format="json")
    assert json.loads(created.content)["content"] == content
