"""`Idempotency-Key`: a write that is sent twice is applied once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone
from rest_framework.test import APIClient

from memory.api.idempotency import LEASE
from memory.backends.firestore import errors
from memory.models import AgentData, IdempotencyKey, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])
transactional = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

ITEMS, BULK, DATA, SESSIONS = "/api/memory-items/", "/api/memory-items/bulk/", "/api/agent-data/", "/api/sessions/"
DATA_BULK = "/api/agent-data/bulk/"
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
ITEM = {"item_type": "m", "text_content": "I prefer trains.", "session_id": "s", "metadata": {"n": [1, 2.5]}}
BODIES: dict[str, dict[str, Any]] = {
    ITEMS: ITEM,
    BULK: {"items": [ITEM, {**ITEM, "id": "mine"}]},
    DATA: {"data_type": "plan", "content": {"steps": [1]}},
    DATA_BULK: {"items": [{"data_type": "plan"}, {"data_type": "plan", "id": "mine"}]},
    SESSIONS: {"session_id": "other"},
}


def counts() -> tuple[int, int, int]:
    """Stored records."""
    return MemoryItem.objects.count(), AgentData.objects.count(), UserSession.objects.count()


@pytest.mark.parametrize("path", BODIES)
def test_a_repeated_post_is_applied_once(ada: APIClient, path: str) -> None:
    """And has the same answer, with the same headers."""
    first = ada.post(path, BODIES[path], "json", headers=KEY)
    stored = counts()
    again = ada.post(path, BODIES[path], "json", headers=KEY)
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert again.get("Location") == first.get("Location")
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert counts() == stored


def test_the_first_answer_is_returned_though_the_record_changed(ada: APIClient) -> None:
    """Also after its deletion; the stored row has no copy of the text."""
    first = ada.post(ITEMS, ITEM, "json", headers=KEY).json()
    ada.patch(f"{ITEMS}{first['id']}/", {"text_content": "changed"}, "json")
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).json() == first
    ada.delete(f"{ITEMS}{first['id']}/")
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).json() == first
    assert not MemoryItem.objects.exists()
    assert "trains" not in str(IdempotencyKey.objects.values().get())


def test_changes_and_deletions(ada: APIClient) -> None:
    """PUT and DELETE have the first answer, PATCH the record as it is now."""
    path = f"{ITEMS}{ada.post(ITEMS, ITEM, 'json').json()['id']}/"
    whole = {**ada.get(path).json(), "text_content": "replaced"}
    replaced = ada.put(path, whole, "json", headers={"Idempotency-Key": "put"})
    patched = ada.patch(path, {"metadata": {"a": 1}}, "json", headers={"Idempotency-Key": "patch"})
    assert (replaced.status_code, patched.status_code) == (200, 200)
    ada.patch(path, {"text_content": "later"}, "json")
    assert ada.put(path, whole, "json", headers={"Idempotency-Key": "put"}).json() == replaced.json()
    again = ada.patch(path, {"metadata": {"a": 1}}, "json", headers={"Idempotency-Key": "patch"})
    assert again.json() == {**patched.json(), "text_content": "later"}
    assert "later" not in str(list(IdempotencyKey.objects.values()))
    for _ in range(2):
        assert ada.delete(path, headers={"Idempotency-Key": "delete"}).status_code == 204
    assert ada.delete(path).status_code == 404


@pytest.mark.parametrize("path", BODIES)
def test_a_key_of_another_request(ada: APIClient, path: str) -> None:
    """422, for another body, path or method; nothing is written."""
    ada.post(ITEMS, {**ITEM, "text_content": "first"}, "json", headers=KEY)
    stored = counts()
    refused = ada.post(path, BODIES[path], "json", headers=KEY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert counts() == stored


def test_keys_of_different_users_do_not_meet(ada: APIClient, bob: APIClient) -> None:
    """Nor tell that the other exists."""
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).json()["user_id"] == "ada"
    other = bob.post(ITEMS, ITEM, "json", headers=KEY)
    assert (other.json()["user_id"], other.get("Idempotent-Replayed")) == ("bob", None)


def test_a_refused_request_does_not_use_its_key(ada: APIClient) -> None:
    """The client may mend the body and send it with the same key."""
    assert ada.post(ITEMS, {"text_content": "no type"}, "json", headers=KEY).status_code == 400
    MemoryItem.objects.create(id="taken", user_id="bob", item_type="m")
    assert ada.post(ITEMS, {**ITEM, "id": "taken"}, "json", headers=KEY).status_code == 400
    assert ada.patch(f"{ITEMS}taken/", {"item_type": "n"}, "json", headers=KEY).status_code == 404
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", "with space", "ü", "k" * 256])
def test_an_invalid_key(ada: APIClient, key: str) -> None:
    """400, on the header; nothing is written."""
    refused = ada.post(ITEMS, ITEM, "json", headers={"Idempotency-Key": key})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["Idempotency-Key"])
    assert not MemoryItem.objects.exists()


def running(**changed: Any) -> None:
    """Make the only key that of a request that has not ended."""
    values = {"status": None, "answer": {}, "until": timezone.now() + LEASE, **changed}
    assert IdempotencyKey.objects.update(**values) == 1


def test_a_key_in_use(ada: APIClient) -> None:
    """409 with Retry-After while the first request runs; after 30 seconds it counts as lost."""
    ada.post(ITEMS, ITEM, "json", headers=KEY)
    MemoryItem.objects.all().delete()
    running()
    refused = ada.post(ITEMS, ITEM, "json", headers=KEY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert int(refused["Retry-After"]) >= 1
    assert not MemoryItem.objects.exists()
    running(until=timezone.now())
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).status_code == 201
    assert ada.post(ITEMS, ITEM, "json", headers=KEY)["Idempotent-Replayed"] == "true"
    assert MemoryItem.objects.count() == 1


@pytest.mark.parametrize("path", BODIES)
def test_a_request_whose_key_was_taken_over_writes_nothing(
    ada: APIClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a process that was stopped for minutes, and goes on."""
    model: Any = {DATA: AgentData, DATA_BULK: AgentData, SESSIONS: UserSession}.get(path, MemoryItem)
    check = model.check_limits

    def stopped(record: Any, *args: Any) -> None:
        check(record, *args)
        monkeypatch.undo()
        IdempotencyKey.objects.update(claim="another")

    before = counts()
    monkeypatch.setattr(model, "check_limits", stopped)
    refused = ada.post(path, BODIES[path], "json", headers=KEY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert counts() == before


def lose_answer(monkeypatch: pytest.MonkeyPatch, applied: bool) -> None:
    """Lose the response to the commit of a request with an idempotency key, after or before the commit is applied."""
    connection = connections["memory"]
    commit, rollback = connection.commit, connection.rollback

    def lost() -> None:
        if not IdempotencyKey.objects.filter(status__isnull=False).exists():
            return commit()
        monkeypatch.undo()
        if applied:
            commit()
        else:
            rollback()
        raise errors.OutcomeUnknown("the response was lost")

    monkeypatch.setattr(connection, "commit", lost)


@transactional
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("path", BODIES)
def test_an_unknown_outcome_is_cleared_up_by_sending_it_again(
    ada: APIClient, path: str, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the first request was applied or not, there is one record in the end."""
    lose_answer(monkeypatch, applied)
    first = ada.post(path, BODIES[path], "json", headers=KEY)
    assert (first.status_code, first.json()["error"]["code"]) == (500, "outcome_unknown")
    stored = counts()
    assert any(stored) == applied
    again = ada.post(path, BODIES[path], "json", headers=KEY)
    assert again.status_code == 201
    assert (again.get("Idempotent-Replayed") == "true") == applied
    created = counts()
    assert created == (stored if applied else created)
    assert ada.post(path, BODIES[path], "json", headers=KEY).json() == again.json()
    assert counts() == created


OTHERS: dict[str, tuple[str, str, Any]] = {
    "upsert": ("put", BULK, {"items": [{**ITEM, "id": "a", "text_content": "new"}, {**ITEM, "id": "b"}]}),
    "delete many": ("post", f"{BULK}delete/", {"ids": ["a", "none"]}),
    "delete": ("delete", f"{ITEMS}a/", None),
    "delete a session": ("delete", f"{SESSIONS}ada:s/", None),
    "patch": ("patch", f"{ITEMS}a/", {"text_content": "new"}),
}


@transactional
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("name", OTHERS)
def test_an_unknown_outcome_of_other_writes(
    ada: APIClient, name: str, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write and its answer are stored together, so a repeated request has the first answer, and never a 404."""
    method, path, body = OTHERS[name]
    ada.post(ITEMS, {**ITEM, "id": "a"}, "json")
    lose_answer(monkeypatch, applied)
    send = getattr(ada, method)
    first = send(path, body, "json", headers=KEY)
    assert (first.status_code, first.json()["error"]["code"]) == (500, "outcome_unknown")
    again = send(path, body, "json", headers=KEY)
    assert again.status_code in (200, 204)
    assert (again.get("Idempotent-Replayed") == "true") == applied
    stored = counts()
    last = send(path, body, "json", headers=KEY)
    assert (last.status_code, last["Idempotent-Replayed"]) == (again.status_code, "true")
    assert not last.content or last.json() == again.json()
    assert counts() == stored


def test_a_key_is_kept_for_a_day(ada: APIClient) -> None:
    """After that it is a new one, and `memory_purge` deletes it."""
    first = ada.post(ITEMS, ITEM, "json", headers=KEY).json()
    assert IdempotencyKey.purge() == 0
    IdempotencyKey.objects.update(created=timezone.now() - timedelta(hours=24, seconds=1))
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).json()["id"] != first["id"]
    IdempotencyKey.objects.update(created=timezone.now() - timedelta(hours=24, seconds=1))
    assert IdempotencyKey.purge() == 1


@transactional
def test_the_same_request_by_eight_clients_at_once(make_user: Callable[..., Any], client_for: Any) -> None:
    """One is applied; each of the others has the same answer, or 409."""
    if connections["memory"].vendor != "firestore":
        pytest.skip("an SQLite in memory has one writer, whom the others' locks fail: tests/deploy has a file")
    user = make_user("ada")

    def send(_: int) -> Any:
        try:
            return client_for(user).post(ITEMS, ITEM, "json", headers=KEY)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert MemoryItem.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1


def test_an_error_of_the_storage_releases_the_key(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next request with it is processed."""

    def fail(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(MemoryItem, "save", fail)
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).status_code == 503
    assert ada.post(ITEMS, ITEM, "json", headers=KEY).status_code == 201
