"""Erasing a person over the API: who may, what it costs, its steps, the receipt, and what is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connections
from django.urls import resolve
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from memory.access.models import AccessToken
from memory.api import people
from memory.exceptions import PersonErased
from memory.lifecycle import audit, erasure, receipts
from memory.models import AgentData, Erasure, IdempotencyKey, MemoryItem, UserSession
from memory.tombstones import tombstones

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ADA = "ada-lovelace-1815"


def url(user_id: str = ADA) -> str:
    """The path of a person's erasure."""
    return f"/api/people/{quote(user_id, safe='')}/erase/"


@pytest.fixture
def officer(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """A client logged in as `officer`, who may erase people."""
    return client_for(make_user("officer", permissions=("erase_person",)))


@pytest.fixture
def _records(make_item: Callable[..., MemoryItem]) -> None:
    """Three items in a session of Ada, agent data of hers and one that names her, and an item of bob."""
    for _ in range(3):
        make_item(user_id=ADA, session_id="s")
    AgentData.objects.create(agent_id=ADA, data_type="plan")
    AgentData.objects.create(agent_id="planner", data_type="plan", content={"user_id": ADA})
    make_item(user_id="bob", session_id="s")


def stored(user_id: str = ADA) -> list[int]:
    """The numbers of a person's items and sessions."""
    return [one.filter(user_id=user_id).count() for one in (MemoryItem.all_objects.all(), UserSession.objects.all())]


@pytest.mark.usefixtures("_records")
def test_it_needs_the_permission(bob: APIClient, operator: APIClient, make_user: Any, client_for: Any) -> None:
    """For one's own memory, too; the permission for all records is not the one to erase people."""
    for client in (bob, operator, client_for(make_user(ADA))):
        for name in (ADA, "bob", "nobody"):
            for response in (client.get(url(name)), client.post(url(name), {}, format="json")):
                assert response.status_code == 403
                assert response.json()["error"]["code"] == "permission_denied"
    assert APIClient().post(url(), {}, format="json").status_code == 401
    assert stored() == [3, 1]
    assert not Erasure.objects.exists()


@pytest.mark.usefixtures("_records")
def test_tokens(make_user: Callable[..., Any]) -> None:
    """An erasure needs the scope `forget`, the state `read`; a token for one owner names that owner only."""

    def client(**values: Any) -> APIClient:
        made = APIClient()
        made.credentials(HTTP_AUTHORIZATION=f"Token {AccessToken.objects.issue(user, **values)[1]}")
        return made

    user = make_user("officer", permissions=("erase_person", "act_for_any_user"))
    reader = client(scopes=["read", "write"])
    assert reader.get(url()).status_code == 200
    assert reader.post(url(), {}, format="json").json()["error"]["code"] == "insufficient_scope"
    limited = client(owner="bob")
    assert [limited.get(url()).status_code, limited.post(url(), {}, format="json").status_code] == [403, 403]
    assert stored() == [3, 1]
    assert limited.post(url("bob"), {}, format="json").status_code == 200
    assert stored("bob") == [0, 0]


@pytest.mark.usefixtures("_records")
def test_cost_then_erasure_with_a_signed_receipt(officer: APIClient, settings: Any) -> None:
    """GET changes nothing; POST erases the person and nobody else; the receipt is valid and can be had again."""
    private, public = receipts.new_key()
    settings.MEMORY = {**settings.MEMORY, "RECEIPT_KEY": private}
    before = officer.get(url()).json()
    assert (before["state"], before["erased"], before["receipt"]) == ("none", {}, None)
    assert before["cost"]["owned"]["memory_items"] == 3
    assert before["cost"]["looked_through"]["agent_data"] == AgentData.objects.count()
    assert before["cost"]["deletes"] == sum(before["cost"]["owned"].values())
    assert stored() == [3, 1]
    assert not Erasure.objects.exists()

    done = officer.post(url(), {}, format="json").json()
    assert (done["state"], done["user_id"], done["cost"]) == ("finished", ADA, before["cost"])
    assert (stored(), stored("bob"), AgentData.objects.count()) == ([0, 0], [1, 1], 0)
    assert done["erased"]["memory_items"] == 3
    receipt = receipts.checked(json.dumps(done["receipt"]), public)
    assert receipt.counts == done["erased"]
    assert receipt.requested_by == "officer"
    again = officer.get(url()).json()
    assert (again["state"], again["receipt"]) == ("finished", done["receipt"])
    assert set(again["cost"]["owned"].values()) == {0}


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # tombstones are read outside of it
@pytest.mark.usefixtures("_records")
def test_writes_are_refused_for_as_long_as_asked(officer: APIClient, settings: Any, make_item: Any) -> None:
    """`keep_hours` is from the request on; others write."""
    settings.MEMORY = {**settings.MEMORY, "ERASURE_CHECK": 0.0}
    now = timezone.now()
    done = officer.post(url(), {"keep_hours": 48}, format="json").json()
    until = parse_datetime(done["refused_until"])
    assert until is not None
    assert timedelta(hours=48) <= until - now < timedelta(hours=49)
    with pytest.raises(PersonErased):
        make_item(user_id=ADA)
    make_item(user_id="bob")
    tombstones.clear()


@pytest.mark.usefixtures("_records")
def test_an_erasure_in_steps(officer: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request erases so many records and never waits: it says when to go on."""
    monkeypatch.setattr(people, "ERASED_AT_ONCE", 2)
    monkeypatch.setattr(erasure, "settle_seconds", lambda using: 3600.0)
    states = []
    while not states or states[-1]["state"] == "more":
        states.append(officer.post(url(), {}, format="json").json())
    assert sum(states[0]["erased"].values()) == 2
    assert len(states) > 2
    assert (states[-1]["state"], bool(states[-1]["go_on_at"])) == ("waiting", True)
    assert (stored(), states[-1]["receipt"]) == ([0, 0], None)
    assert officer.get(url()).json()["state"] == "more"
    monkeypatch.setattr(erasure, "settle_seconds", lambda using: 0.0)
    done = officer.post(url(), {}, format="json").json()
    assert (done["state"], done["go_on_at"], done["erased"]["memory_items"]) == ("finished", None, 3)


@pytest.mark.usefixtures("_records")
def test_too_many_records_to_look_through(officer: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is refused before anything is erased; `scan` leaves out the data of other agents."""
    monkeypatch.setattr(people, "MOST_LOOKED_THROUGH", 1)
    refused = officer.post(url(), {}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "too_broad")
    assert stored() == [3, 1]
    assert not Erasure.objects.exists()
    assert officer.post(url(), {"scan": False}, format="json").json()["state"] == "finished"
    assert (stored(), AgentData.objects.count()) == ([0, 0], 1)


@pytest.mark.usefixtures("_records")
def test_a_repeated_request_with_a_key_erases_once(officer: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """It returns the state as it is; another request is refused; the stored answer does not name the person."""
    done = officer.post(url(), {}, format="json", headers={"Idempotency-Key": "k"})
    assert "Idempotent-Replayed" not in done.headers
    make_item(user_id=ADA)  # the tests do not check tombstones
    again = officer.post(url(), {}, format="json", headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["receipt"] == done.json()["receipt"]
    assert stored() == [1, 0]
    other = officer.post(url(), {"scan": False}, format="json", headers={"Idempotency-Key": "k"})
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    row = IdempotencyKey.objects.get()
    assert ADA not in f"{row.pk} {row.fingerprint} {row.answer}"


@pytest.mark.parametrize("user_id", ["a/b", "ä ö", "x/erase", "%2F", "a:b", "n\x01l", "__x__", "x" * 400])
def test_any_id(officer: APIClient, make_item: Callable[..., MemoryItem], user_id: str) -> None:
    """In a URL it is percent-encoded like any text."""
    make_item(user_id=user_id[:255])
    make_item(user_id="a")
    assert officer.get(url(user_id)).json()["user_id"] == user_id
    assert officer.post(url(user_id), {}, format="json").json()["state"] == "finished"
    assert (stored(user_id), stored("a")) == ([0, 0], [1, 0])


def test_invalid_requests(officer: APIClient) -> None:
    """They begin no erasure."""
    hours = [{"keep_hours": value} for value in (0, "24", 10**6)]
    bodies: list[Any] = [*hours, {"scan": 1}, {"user_id": "x"}, []]
    assert {officer.post(url(), body, format="json").status_code for body in bodies} == {400}
    assert officer.get(f"{url()}?dry_run=true").status_code == 400
    assert officer.delete(url()).status_code == 405
    assert not Erasure.objects.exists()


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # tombstones are read outside of it
def test_writes_of_an_erased_person_are_refused(
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
    make_item: Callable[..., MemoryItem],
    settings: Any,
) -> None:
    """With a code of their own and the time, since to try again does not help; others write as before."""
    settings.MEMORY = {**settings.MEMORY, "ERASURE_CHECK": 0.0}
    officer = client_for(make_user("officer", permissions=("erase_person", "act_for_any_user")))
    make_item(user_id=ADA)
    until = officer.post(url(), {}, format="json").json()["refused_until"]
    written = {"user_id": ADA, "item_type": "message", "text_content": "x"}
    for path, body in (("", written), ("bulk/", {"items": [written]})):
        response = officer.post(f"/api/memory-items/{path}", body, format="json")
        assert response.status_code == 409
        assert response.json()["error"]["code"] == "person_erased"
        assert until[:19] in response.json()["error"]["message"]
    assert officer.post("/api/memory-items/", {**written, "user_id": "bob"}, format="json").status_code == 201
    tombstones.clear()


def test_requests_are_recorded(officer: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the cost as a read, the request as an erasure, with the person; the erasure itself, too."""
    settings.MEMORY = {**settings.MEMORY, "AUDIT": "log"}
    found: list[audit.Record] = []
    monkeypatch.setattr(audit, "emit", found.append)
    monkeypatch.setattr(erasure, "emit", found.append)
    officer.get(url())
    officer.post(url(), {}, format="json")
    seen = [(one.channel, one.action, one.ids, one.outcome) for one in found]
    assert seen == [
        (audit.API, audit.READ, (ADA,), "200"),
        (audit.PYTHON, audit.ERASE, (ADA,), "done"),
        (audit.API, audit.ERASE, (ADA,), "200"),
    ]


def test_it_runs_outside_of_the_transaction_of_a_request() -> None:
    """A tombstone must be committed before anything is deleted, `ATOMIC_REQUESTS` or not."""
    view: Any = resolve(url()).func
    assert view._non_atomic_requests == set(connections)
