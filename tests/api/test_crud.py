"""Creating, reading, changing and deleting records, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

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


def test_an_item_comes_back_as_it_was_sent(ada: APIClient) -> None:
    """What POST takes, POST and GET answer: nothing trimmed, coerced or dropped."""
    created = ada.post(ITEMS, ITEM, format="json")
    assert created.status_code == 201
    assert created.json() == ITEM
    assert created["Location"] == "http://testserver/api/memory-items/my%20id/"
    assert ada.get(created["Location"]).json() == ITEM


@pytest.mark.parametrize("collection", NEW)
def test_little_is_needed_and_the_rest_is_made(ada: APIClient, collection: str) -> None:
    """A new record gets an id, its maker as owner, and the time."""
    created = ada.post(collection, NEW[collection], format="json").json()
    assert created["id"]
    assert created.get("user_id", created.get("agent_id")) == "ada"
    assert created.get("timestamp", created.get("started_at")).endswith("Z")
    assert created["metadata"] == {}


@pytest.mark.parametrize("collection", NEW)
def test_what_was_read_can_be_put_back(ada: APIClient, collection: str) -> None:
    """A GET's answer is a PUT's body, and changes nothing."""
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    before = ada.get(url).json()
    answer = ada.put(url, before, format="json")
    assert answer.status_code == 200
    assert answer.json() == before == ada.get(url).json()


@pytest.mark.parametrize("collection", NEW)
def test_put_needs_every_field_but_the_id(ada: APIClient, collection: str) -> None:
    """A PUT that leaves something out is refused, field by field."""
    created = ada.post(collection, NEW[collection], format="json")
    answer = ada.put(created["Location"], {}, format="json")
    assert answer.status_code == 400
    assert codes(answer) == {name: ["required"] for name in created.json() if name != "id"}


def test_patch_changes_what_it_names(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Fields that a PATCH leaves out stay, even if another request changed them meanwhile."""
    item = make_item(text_content="old", metadata={"a": 1})
    assert ada.patch(f"{ITEMS}{item.pk}/", {"text_content": "new"}, format="json").status_code == 200
    item.refresh_from_db()
    assert (item.text_content, item.metadata) == ("new", {"a": 1})
    assert MemoryItem.objects.duplicates_of(MemoryItem(user_id="ada", item_type="message", text_content="new")).exists()


def test_an_empty_patch_changes_nothing(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """No field, no change, no error."""
    item = make_item()
    assert ada.patch(f"{ITEMS}{item.pk}/", {}, format="json").status_code == 200


def test_a_record_keeps_its_id(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """The id in a body is the one in the URL, or an error."""
    item = make_item()
    assert codes(ada.patch(f"{ITEMS}{item.pk}/", {"id": "another"}, format="json")) == {"id": ["immutable"]}
    assert ada.patch(f"{ITEMS}{item.pk}/", {"id": item.pk}, format="json").status_code == 200


def test_delete_deletes(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """204, and the record is gone."""
    item = make_item()
    assert ada.delete(f"{ITEMS}{item.pk}/").status_code == 204
    assert not MemoryItem.all_objects.exists()
    assert ada.delete(f"{ITEMS}{item.pk}/").status_code == 404


@pytest.mark.parametrize("name", ["ITEMS", "AGENT"])
def test_an_id_that_is_taken_is_refused_whosever_it_is(
    ada: APIClient, make_item: Callable[..., MemoryItem], make_agent_data: Callable[..., AgentData], name: str
) -> None:
    """Own or another's, live or expired: the same answer, which does not tell."""
    past = timezone.now() - timedelta(days=1)
    make, collection = (make_item, ITEMS) if name == "ITEMS" else (make_agent_data, "/api/agent-data/")
    owner = "user_id" if name == "ITEMS" else "agent_id"
    for pk, values in {"own": {owner: "ada"}, "bobs": {owner: "bob"}, "expired": {"expiration": past}}.items():
        make(id=pk, **values)
        answer = ada.post(collection, {**NEW[collection], "id": pk}, format="json")
        assert answer.status_code == 400
        assert codes(answer) == {"id": ["taken"]}
        assert "bob" not in answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
@pytest.mark.parametrize("collection", NEW)
def test_anothers_record_is_not_there(ada: APIClient, bob: APIClient, collection: str, method: str) -> None:
    """Every way to reach for it answers 404, and it stays as it is."""
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    before = ada.get(url).json()
    body = None if method == "get" else before
    assert getattr(bob, method)(url, body, format="json").status_code == 404
    assert bob.get(collection).json()["results"] == []
    assert ada.get(url).json() == before


@pytest.mark.parametrize("collection", NEW)
def test_nobody_writes_in_anothers_name(ada: APIClient, collection: str) -> None:
    """Neither by creating nor by giving away."""
    owner = "agent_id" if "agent" in collection else "user_id"
    assert codes(ada.post(collection, {**NEW[collection], owner: "bob"}, format="json")) == {owner: ["not_yours"]}
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    assert codes(ada.patch(url, {owner: "bob"}, format="json")) == {owner: ["not_yours"]}


@pytest.mark.parametrize("collection", NEW)
def test_with_the_permission_everybodys_records_are_there(ada: APIClient, operator: APIClient, collection: str) -> None:
    """`memory.act_for_any_user` sees, makes and changes anybody's."""
    owner = "agent_id" if "agent" in collection else "user_id"
    url = ada.post(collection, NEW[collection], format="json")["Location"]
    assert operator.get(url).status_code == 200
    assert operator.patch(url, {"metadata": {"seen": True}}, format="json").status_code == 200
    assert operator.post(collection, {**NEW[collection], owner: "carol"}, format="json").json()[owner] == "carol"
    assert {row[owner] for row in operator.get(collection).json()["results"]} == {"ada", "carol"}
    assert [row[owner] for row in operator.get(collection, {owner: "carol"}).json()["results"]] == ["carol"]


def test_what_has_expired_is_not_there(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Neither in a list, nor by its id, nor in a conversation, nor as a duplicate."""
    item = make_item(session_id="s", text_content="gone", expiration=timezone.now() - timedelta(seconds=1))
    assert ada.get(ITEMS).json()["results"] == []
    assert ada.get(f"{ITEMS}{item.pk}/").status_code == 404
    assert ada.get("/api/sessions/ada:s/history/").json()["results"] == []
    asked = {"item_type": "message", "text_content": "gone"}
    assert ada.post(f"{ITEMS}check-duplicate/", asked, format="json").json() == {"duplicate": False, "id": None}


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_slash_at_the_end_is_optional(ada: APIClient, slash: str) -> None:
    """Every method works on both, without a redirect."""
    assert ada.post(f"/api/memory-items{slash}", {"item_type": "m", "id": "x"}, format="json").status_code == 201
    assert ada.get(f"/api/memory-items{slash}").status_code == 200
    assert ada.patch(f"/api/memory-items/x{slash}", {}, format="json").status_code == 200
    body = {"items": [{"item_type": "m"}]}
    assert ada.post(f"/api/memory-items/bulk{slash}", body, format="json").status_code == 201
    asked = {"item_type": "m", "text_content": ""}
    assert ada.post(f"/api/memory-items/check-duplicate{slash}", asked, format="json").status_code == 200
    for path in ("schema", "docs", "redoc"):
        assert ada.get(f"/api/{path}{slash}").status_code == 200


ODD_IDS = [
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


@pytest.mark.parametrize("odd", ODD_IDS)
def test_odd_ids_go_round(ada: APIClient, odd: str) -> None:
    """Whatever may be an id works in a URL, quoted as URLs are."""
    item = ada.post(ITEMS, {"item_type": "m", "id": odd, "session_id": odd}, format="json")
    assert item.status_code == 201
    assert ada.get(item["Location"]).json()["id"] == odd
    session = ada.get("/api/sessions/").json()["results"][0]
    assert session["session_id"] == odd
    url = f"/api/sessions/{quote(session['id'], safe='')}/"
    assert ada.get(url).json() == session
    assert [found["id"] for found in ada.get(f"{url}history/").json()["results"]] == [odd]


@pytest.mark.parametrize("pk", ["%00", "__x__", "x" * 1501, ".."])
def test_what_cannot_be_an_id_is_nobodys(ada: APIClient, pk: str) -> None:
    """404, not a fault, where a URL names an id that storage could not hold."""
    assert ada.get(f"{ITEMS}{pk}/").status_code == 404


@pytest.mark.parametrize(
    "pk", ["a/b", "__x__", "..", "x" * 1501, "é" * 751, "bulk", "check-duplicate", "search", "", "a\x00"]
)
def test_what_cannot_be_an_id_is_not_taken(ada: APIClient, pk: str) -> None:
    """400 that names `id`, the API's own paths included."""
    assert list(codes(ada.post(ITEMS, {"item_type": "m", "id": pk}, format="json"))) == ["id"]


def test_a_session_is_made_by_its_items_or_by_itself(ada: APIClient) -> None:
    """Either way it has one row, and the second way finds it taken."""
    ada.post(ITEMS, {"item_type": "m", "session_id": "a"}, format="json")
    assert ada.get("/api/sessions/ada:a/").status_code == 200
    assert codes(ada.post("/api/sessions/", {"session_id": "a"}, format="json")) == {"session_id": ["taken"]}


def test_a_sessions_id_follows_from_user_and_session(ada: APIClient) -> None:
    """Another id is refused; so is another user or session later on."""
    assert codes(ada.post("/api/sessions/", {"session_id": "a", "id": "b"}, format="json")) == {"id": ["immutable"]}
    assert ada.post("/api/sessions/", {"session_id": "a", "id": "ada:a"}, format="json").status_code == 201
    assert list(codes(ada.patch("/api/sessions/ada:a/", {"session_id": "b"}, format="json"))) == ["session_id"]


def test_deleting_a_session_deletes_its_conversation(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """And nothing else."""
    make_item(session_id="a"), make_item(session_id="b"), make_item(session_id="a", user_id="bob")
    assert ada.delete("/api/sessions/ada:a/").status_code == 204
    assert sorted(UserSession.objects.values_list("pk", flat=True)) == ["ada:b", "bob:a"]
    assert MemoryItem.all_objects.count() == 2


def test_history_is_newest_first_and_says_whether_there_is_more(
    ada: APIClient, make_item: Callable[..., MemoryItem]
) -> None:
    """20 unless told otherwise, of this session alone."""
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


def test_anothers_history_is_not_there(bob: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """404, as for a session that nobody has."""
    make_item(session_id="a")
    assert bob.get("/api/sessions/ada:a/history/").status_code == 404
    assert bob.get("/api/sessions/bob:a/history/").status_code == 404


def test_check_duplicate_finds_the_oldest(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Same user, same type, same text; nothing else counts."""
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


def test_check_duplicate_for_another(operator: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """With the permission, in anybody's memory."""
    make_item(text_content="x", id="adas")
    asked = {"item_type": "message", "text_content": "x", "user_id": "ada"}
    assert operator.post(f"{ITEMS}check-duplicate/", asked, format="json").json() == {"duplicate": True, "id": "adas"}


def test_numbers_and_texts_stay_apart(ada: APIClient) -> None:
    """JSON values keep their types on the way in and out."""
    content = [1, 1.5, "1", True, None, {"": "é😀", "big": 2**53}]
    created = ada.post("/api/agent-data/", {"data_type": "raw", "content": content}, format="json")
    assert json.loads(created.content)["content"] == content
