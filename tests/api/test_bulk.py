"""Many records in one request: writes are all or none, with a result for each record."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connections
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from memory.access.models import AccessToken
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import codes

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

BULK = "/api/memory-items/bulk/"


def post(client: APIClient, *items: Any) -> Any:
    return client.post(BULK, {"items": list(items)}, format="json")


def test_items_are_created_in_order(ada: APIClient) -> None:
    """Ids may be given or generated; owner and session are set as by single requests."""
    new = {"item_type": "m"}
    response = post(ada, {**new, "id": "b", "session_id": "s"}, new, {**new, "id": "a"})
    assert response.status_code == 201
    made = response.json()
    assert made["created"] == 3
    assert (made["ids"][0], made["ids"][2]) == ("b", "a")
    assert MemoryItem.objects.filter(pk__in=made["ids"], user_id="ada").count() == 3
    assert UserSession.objects.filter(pk="ada:s").exists()


def test_all_invalid_rows_are_reported_and_nothing_is_written(
    ada: APIClient, make_item: Callable[..., MemoryItem]
) -> None:
    """Errors name the row and the field."""
    response = post(
        ada,
        {"item_type": "m"},
        {"item_type": 5, "colour": "red"},
        "text",
        {"item_type": "m", "user_id": "bob"},
        {"item_type": "m", "metadata": json.loads('{"a":' * 21 + "1" + "}" * 21)},
    )
    assert response.status_code == 400
    assert codes(response) == {
        "items.1.item_type": ["invalid"],
        "items.1.colour": ["unknown"],
        "items.2": ["invalid"],
        "items.3.user_id": ["not_yours"],
        "items.4.metadata": ["invalid_json"],
    }
    assert not MemoryItem.all_objects.exists()


def test_existing_ids_repeated_ids_and_large_rows_are_rejected(
    ada: APIClient, make_item: Callable[..., MemoryItem]
) -> None:
    """Ids of any user, ids given twice, and rows above the document limit."""
    make_item(id="bobs", user_id="bob")
    response = post(
        ada,
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "twice"},
        {"item_type": "m", "id": "bobs"},
        {"item_type": "m", "text_content": "x" * 1_048_577},
    )
    assert response.status_code == 400
    assert codes(response) == {
        "items.1.id": ["repeated"],
        "items.2.id": ["taken"],
        "items.3.text_content": ["too_large"],
    }
    assert MemoryItem.all_objects.count() == 1


def test_number_of_items_is_limited(ada: APIClient, settings: Any) -> None:
    """`MEMORY["BULK_LIMIT"]` is enforced; an empty list is an error."""
    settings.MEMORY = {**settings.MEMORY, "BULK_LIMIT": 3}
    assert post(ada, *[{"item_type": "m"}] * 3).status_code == 201
    assert codes(post(ada, *[{"item_type": "m"}] * 4)) == {"items": ["too_many"]}
    assert codes(post(ada)) == {"items": ["empty"]}
    assert codes(ada.post(BULK, {"items": {}}, format="json")) == {"items": ["not_a_list"]}
    assert codes(ada.post(BULK, [], format="json")) == {"body": ["invalid"]}
    assert codes(ada.post(BULK, {}, format="json")) == {"items": ["required"]}


@pytest.mark.parametrize("rows", [50, 500])
def test_number_of_queries_is_bounded(
    ada: APIClient, rows: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """500 rows take a few statements more than 50, since SQLite binds at most 999 values."""
    items = [{"item_type": "m", "id": f"{n}", "session_id": "s"} for n in range(rows)]
    with django_assert_max_num_queries(16, using="memory"):
        assert post(ada, *items).status_code == 201


def test_concurrent_insert_of_an_id_is_a_conflict(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the id is inserted between check and write, the status is 409 and nothing is written."""
    from memory.querysets import MemoryItemQuerySet

    def raise_integrity_error(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(MemoryItemQuerySet, "bulk_create", raise_integrity_error)
    response = post(ada, {"item_type": "m"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "conflict"


COLLECTIONS = {"memory-items": {"item_type": "m"}, "agent-data": {"data_type": "d"}}
MODELS: dict[str, Any] = {"memory-items": MemoryItem, "agent-data": AgentData}
every_collection = pytest.mark.parametrize("name", COLLECTIONS)


def send(client: APIClient, name: str, action: str, body: Any, **headers: str) -> Any:
    """One bulk request: `create`, `upsert`, `get` or `delete`."""
    path = f"/api/{name}/bulk/{action}/" if action in ("get", "delete") else f"/api/{name}/bulk/"
    method = client.put if action == "upsert" else client.post
    return method(path, body, "json", headers=headers)


@every_collection
def test_create_agent_data_too(ada: APIClient, name: str) -> None:
    """With the same answer."""
    rows = [{**COLLECTIONS[name], "id": pk, "metadata": {"n": pk}} for pk in "ba"]
    assert send(ada, name, "create", {"items": rows}).json() == {"created": 2, "ids": ["b", "a"]}
    assert MODELS[name].objects.get(pk="b").metadata == {"n": "b"}


@every_collection
def test_upsert(ada: APIClient, name: str) -> None:
    """New records are created, others replaced: omitted fields get their defaults. The results are in order."""
    first = {**COLLECTIONS[name], "id": "b", "metadata": {"n": 1}, "expiration": "2100-01-01T00:00:00Z"}
    send(ada, name, "create", {"items": [first]})
    rows = [{**COLLECTIONS[name], "id": "c"}, {**COLLECTIONS[name], "id": "b", "timestamp": "2026-01-31T12:00:00Z"}]
    answer = send(ada, name, "upsert", {"items": [*rows, COLLECTIONS[name]]})
    made = answer.json()
    assert answer.status_code == 200
    assert (made["created"], made["updated"]) == (2, 1)
    assert [one["status"] for one in made["results"]] == ["created", "updated", "created"]
    assert [one["id"] for one in made["results"]][:2] == ["c", "b"]
    replaced = MODELS[name].objects.get(pk="b")
    assert (replaced.metadata, replaced.expiration, replaced.timestamp.year) == ({}, None, 2026)
    assert MODELS[name].objects.count() == 3


def test_upserted_items_are_found_by_their_new_words(ada: APIClient) -> None:
    """And the sessions and the derived fields follow."""
    row = {"item_type": "m", "id": "a", "session_id": "s", "text_content": "I prefer trains."}
    send(ada, "memory-items", "upsert", {"items": [row]})
    send(ada, "memory-items", "upsert", {"items": [{**row, "session_id": "t", "text_content": "A zeppelin."}]})
    found = ada.get("/api/memory-items/search/", {"q": "zeppelin"}).json()
    assert [one["id"] for one in found["results"]] == ["a"]
    assert [one["id"] for one in ada.get("/api/sessions/ada:t/history/").json()["results"]] == ["a"]
    assert ada.get("/api/sessions/ada:s/history/").json()["results"] == []
    assert ada.post("/api/memory-items/check-duplicate/", row, "json").status_code == 400  # unknown fields
    duplicate = {"item_type": "m", "text_content": "A zeppelin."}
    assert ada.post("/api/memory-items/check-duplicate/", duplicate, "json").json()["id"] == "a"


def test_upserted_items_keep_what_superseded_them(ada: APIClient) -> None:
    """And an item that supersedes nothing any more opens what it superseded."""
    rows = [{"item_type": "m", "id": pk, "text_content": pk} for pk in ("old", "new")]
    send(ada, "memory-items", "create", {"items": rows[:1]})
    send(ada, "memory-items", "upsert", {"items": [{**rows[1], "supersedes": ["old"]}]})
    send(ada, "memory-items", "upsert", {"items": [{**rows[0], "text_content": "changed"}]})
    old = MemoryItem.objects.get(pk="old")
    assert (old.superseded_by, old.text_content) == ("new", "changed")
    send(ada, "memory-items", "upsert", {"items": rows[1:]})
    old = MemoryItem.objects.get(pk="old")
    assert (old.superseded_by, old.valid_to) == (None, None)


@every_collection
def test_upsert_of_records_of_others(ada: APIClient, bob: APIClient, operator: APIClient, name: str) -> None:
    """The id is taken, as for a creation, and nothing is written; who may act for all replaces them."""
    send(ada, name, "create", {"items": [{**COLLECTIONS[name], "id": "a"}]})
    rows = [{**COLLECTIONS[name], "id": "new"}, {**COLLECTIONS[name], "id": "a"}]
    refused = send(bob, name, "upsert", {"items": rows})
    assert (refused.status_code, codes(refused)) == (400, {"items.1.id": ["taken"]})
    assert not MODELS[name].objects.filter(pk="new").exists()
    owner = {"memory-items": "user_id", "agent-data": "agent_id"}[name]
    answer = send(operator, name, "upsert", {"items": [{**row, owner: "ada"} for row in rows]})
    assert (answer.json()["created"], answer.json()["updated"]) == (1, 1)


@every_collection
def test_an_expired_record_is_created_again(ada: APIClient, name: str) -> None:
    """Since nothing shows that it exists."""
    row = {**COLLECTIONS[name], "id": "a"}
    send(ada, name, "create", {"items": [{**row, "expiration": "2020-01-01T00:00:00Z"}]})
    assert send(ada, name, "upsert", {"items": [row]}).json()["results"] == [{"id": "a", "status": "created"}]
    assert MODELS[name].objects.filter(pk="a").exists()


@every_collection
def test_get(ada: APIClient, bob: APIClient, name: str) -> None:
    """A result for each id, in order; records of others and expired ones are not found."""
    rows = [{**COLLECTIONS[name], "id": pk} for pk in "ab"]
    send(ada, name, "create", {"items": [*rows, {**rows[0], "id": "old", "expiration": "2020-01-01T00:00:00Z"}]})
    found = send(ada, name, "get", {"ids": ["b", "none", "a", "old"]}).json()["results"]
    assert [(one["id"], one["status"]) for one in found] == [
        ("b", "found"), ("none", "not_found"), ("a", "found"), ("old", "not_found"),
    ]  # fmt: skip
    one = ada.get(f"/api/{name}/b/")
    assert (found[0]["item"], found[0]["etag"]) == (one.json(), one["ETag"])
    assert found[1] == {"id": "none", "status": "not_found", "etag": None, "item": None}
    others = send(bob, name, "get", {"ids": ["a", "b", "none"]}).json()["results"]
    assert {one["status"] for one in others} == {"not_found"}


def test_get_ends_with_the_bytes_of_a_response(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is omitted, so that the client asks again; the first is returned whatever its size."""
    ids = [f"{number:03}" for number in range(120)]
    MemoryItem.objects.bulk_create([MemoryItem(id=pk, user_id="ada", item_type="m") for pk in ids])
    monkeypatch.setattr("memory.api.pagination.PAGE_BYTES", 1)
    found = send(ada, "memory-items", "get", {"ids": ids}).json()["results"]
    assert [one["status"] for one in found] == ["found", *["omitted"] * 119]
    monkeypatch.setattr("memory.api.pagination.PAGE_BYTES", 20_000)
    left, rounds = ids, 0
    while left:
        found = send(ada, "memory-items", "get", {"ids": left}).json()["results"]
        left, rounds = [one["id"] for one in found if one["status"] == "omitted"], rounds + 1
    assert rounds > 1


@every_collection
def test_delete(ada: APIClient, bob: APIClient, name: str) -> None:
    """A result for each id, in order; records of others are not found and stay."""
    send(ada, name, "create", {"items": [{**COLLECTIONS[name], "id": pk} for pk in "abc"]})
    assert send(bob, name, "delete", {"ids": ["a"]}).json() == {
        "deleted": 0, "results": [{"id": "a", "status": "not_found"}],
    }  # fmt: skip
    answer = send(ada, name, "delete", {"ids": ["c", "none", "a"]})
    assert answer.status_code == 200
    assert answer.json()["deleted"] == 2
    assert [one["status"] for one in answer.json()["results"]] == ["deleted", "not_found", "deleted"]
    assert list(MODELS[name].objects.values_list("pk", flat=True)) == ["b"]


@every_collection
def test_repeated_requests(ada: APIClient, name: str) -> None:
    """With a key, the first answer is returned again; another body is a 422."""
    key = {"Idempotency-Key": "k1"}
    rows = {"items": [{**COLLECTIONS[name], "id": "a"}, COLLECTIONS[name]]}
    first, again = (send(ada, name, "upsert", rows, **key) for _ in range(2))
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert MODELS[name].objects.count() == 2
    assert send(ada, name, "create", rows, **key).status_code == 422
    key = {"Idempotency-Key": "k2"}
    first, again = (send(ada, name, "delete", {"ids": ["a", "b"]}, **key) for _ in range(2))
    assert again.json() == first.json() == {
        "deleted": 1,
        "results": [{"id": "a", "status": "deleted"}, {"id": "b", "status": "not_found"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "problems"),
    [
        (["a", "b", "a"], {"ids.0": ["repeated"]}),
        (["a", "x/y"], {"ids.1": ["invalid_id"]}),
        ([5], {"ids.0": ["invalid"]}),
        ([], {"ids": ["empty"]}),
        ("a", {"ids": ["not_a_list"]}),
        ([str(number) for number in range(501)], {"ids": ["too_many"]}),
    ],
)
def test_invalid_ids(ada: APIClient, ids: Any, problems: Any) -> None:
    """400 with the position; nothing is deleted."""
    for action in ("get", "delete"):
        refused = send(ada, "memory-items", action, {"ids": ids})
        assert (refused.status_code, codes(refused)) == (400, problems)


def test_scopes(make_user: Callable[..., Any]) -> None:
    """Reading many needs `read`, deleting many `forget`, and writing many `write`."""
    user = make_user("ada")
    row = {"items": [{"item_type": "m", "id": "a"}]}
    for scope, allowed in (("read", "get"), ("write", "upsert"), ("forget", "delete")):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.objects.issue(user, scopes=[scope])[1]}")
        for action in ("get", "upsert", "delete"):
            body = row if action == "upsert" else {"ids": ["a"]}
            expected = 200 if action == allowed else 403
            assert send(client, "memory-items", action, body).status_code == expected, (scope, action)


def test_methods_of_the_bulk_path(ada: APIClient) -> None:
    """Others are not allowed; above all, DELETE with a body deletes nothing."""
    send(ada, "memory-items", "create", {"items": [{"item_type": "m", "id": "a"}]})
    for path in (BULK, f"{BULK}get/", f"{BULK}delete/"):
        for method in (ada.get, ada.patch, ada.delete):
            assert method(path, {"ids": ["a"]}, "json").status_code == 405, path
    assert MemoryItem.objects.count() == 1


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_parallel_upserts_of_the_same_records(make_user: Callable[..., Any], client_for: Any) -> None:
    """In any order of ids: each is applied as a whole, or is a 409 that wrote nothing."""
    if connections["memory"].vendor == "sqlite":
        pytest.skip("an SQLite in memory has one writer")
    user = make_user("ada")

    def write(number: int) -> int:
        rows = [{"item_type": "m", "id": pk, "session_id": pk, "metadata": {"n": number}} for pk in "abcd"]
        try:
            body = {"items": rows[::-1] if number % 2 else rows}
            return int(send(client_for(user), "memory-items", "upsert", body).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(write, range(6)))
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len({item.metadata["n"] for item in MemoryItem.objects.all()}) == 1
    assert MemoryItem.objects.count() == 4
