"""`ETag`, `If-Match` and `If-None-Match`: no update is lost, and what a client has is not sent again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from rest_framework.exceptions import ValidationError
from rest_framework.test import APIClient

from memory.api.etags import Condition, Preconditions, etag_of, parsed
from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])
transactional = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

PATHS = ("/api/memory-items/a/", "/api/agent-data/a/", "/api/sessions/ada:s/")
CHANGE = {"metadata": {"n": 1}}
CLIENTS = 6


@pytest.fixture
def _records() -> None:
    MemoryItem.objects.create(
        id="a", user_id="ada", session_id="s", item_type="m", text_content="hi", metadata={"b": 1, "a": 2.5}
    )
    AgentData.objects.create(id="a", agent_id="ada", data_type="plan", content={"b": [1], "a": "é"})


def stored() -> list[Any]:
    """What conditions protect."""
    found = [*MemoryItem.objects.all(), *AgentData.objects.all(), *UserSession.objects.all()]
    return [record.metadata for record in found]


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("path", PATHS)
def test_a_stale_tag_changes_nothing(ada: APIClient, path: str) -> None:
    """412 for PATCH, PUT and DELETE; with the current tag each is applied."""
    read = ada.get(path)
    old = {"If-Match": read["ETag"]}
    changed = ada.patch(path, CHANGE, "json", headers=old)
    assert changed.status_code == 200
    before = stored()
    for answer in (
        ada.patch(path, {"metadata": {"n": 2}}, "json", headers=old),
        ada.put(path, {**read.json(), "metadata": {"n": 2}}, "json", headers=old),
        ada.delete(path, headers=old),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (412, "precondition_failed")
    assert stored() == before
    now = ada.get(path)
    assert now["ETag"] == changed["ETag"]
    replaced = ada.put(path, {**now.json(), "metadata": {"n": 3}}, "json", headers={"If-Match": now["ETag"]})
    assert replaced.status_code == 200
    assert replaced["ETag"] == ada.get(path)["ETag"]
    assert ada.delete(path, headers={"If-Match": f'"other", {replaced["ETag"]}'}).status_code == 204
    assert ada.get(path).status_code == 404


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("path", PATHS)
def test_not_modified(ada: APIClient, path: str) -> None:
    """304 without a body, with the tag, for GET and HEAD; weak tags match, too."""
    read = ada.get(path)
    for tag in (read["ETag"], f"W/{read['ETag']}", "*", f'"x" ,\t, {read["ETag"]}'):
        for method in (ada.get, ada.head):
            answer = method(path, headers={"If-None-Match": tag})
            assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", read["ETag"])
    assert ada.get(path, headers={"If-None-Match": '"x"'}).json() == read.json()
    assert ada.get(path, headers={"If-Match": '"x"'}).status_code == 412


@pytest.mark.usefixtures("_records")
def test_other_conditions_of_writes(ada: APIClient) -> None:
    """`*` matches any record; a weak tag matches none of `If-Match`; a new record's tag is that of its first GET."""
    path = PATHS[0]
    tag = ada.get(path)["ETag"]
    for headers, status in (
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"W/{tag}"}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-None-Match": '"x"'}, 200),
    ):
        assert ada.patch(path, {"item_type": "m"}, "json", headers=headers).status_code == status, headers
    assert ada.patch("/api/memory-items/none/", CHANGE, "json", headers={"If-Match": "*"}).status_code == 404
    new = {"item_type": "m", "metadata": {"z": 1, "a": [1.5, None]}, "embedding": [0.25, -1]}
    made = ada.post("/api/memory-items/", new, "json")
    assert made["ETag"] == ada.get(made["Location"])["ETag"]


@pytest.mark.usefixtures("_records")
def test_a_replacement_that_is_stored_otherwise_has_no_tag(ada: APIClient) -> None:
    """As RFC 9110 demands: here the time is stored in UTC."""
    whole = {**ada.get(PATHS[0]).json(), "timestamp": "2026-01-31T13:00:00+01:00"}
    assert "ETag" not in ada.put(PATHS[0], whole, "json")


@pytest.mark.usefixtures("_records")
def test_a_repeated_write_with_a_condition(ada: APIClient) -> None:
    """The condition was met when it was applied, so the answer is the first one, not 412."""
    headers = {"If-Match": ada.get(PATHS[0])["ETag"], "Idempotency-Key": "k"}
    first = ada.patch(PATHS[0], CHANGE, "json", headers=headers)
    again = ada.patch(PATHS[0], CHANGE, "json", headers=headers)
    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (200, 200, "true")
    assert first["ETag"] == again["ETag"]
    stale = {"If-Match": headers["If-Match"], "Idempotency-Key": "other"}
    for _ in range(2):  # a refused request does not use its key
        assert ada.delete(PATHS[0], headers=stale).status_code == 412


@pytest.mark.usefixtures("_records")
@pytest.mark.parametrize("text", ["", "abc", '"a', '"a" "b"', 'w/"a"', '"a";x', '* , "a"', '"a\x00"', '"' * 8_001])
def test_invalid_headers(ada: APIClient, text: str) -> None:
    """400 on the header; nothing is written."""
    for send in (ada.get, ada.patch, ada.delete):
        answer = send(PATHS[0], headers={"If-Match": text})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["If-Match"])
    assert MemoryItem.objects.exists()


def test_parsed() -> None:
    """Empty members of a list are allowed, commas in tags, and many tags take linear time."""
    assert parsed(' "a,b" ,, W/"" ', "If-Match") == Condition(False, frozenset({('"a,b"', False), ('""', True)}))
    assert len(parsed(",".join(f'"{number}"' for number in range(100_000)), "If-Match").tags) == 100_000
    with pytest.raises(ValidationError):
        parsed('"a"' + "," * 100_000 + "x", "If-Match")
    assert not Preconditions()
    vectors = [etag_of({"embedding": value}) for value in (None, [], [0.5, 1.0], [1.0, 0.5], [0.5, 1.0, 0.0])]
    assert len(set(vectors)) == len(vectors)
    assert etag_of({"a": 1, "b": 2}) == etag_of({"b": 2, "a": 1}) != etag_of({"a": 1, "b": 2.0})


def test_another_principals_record(ada: APIClient, bob: APIClient) -> None:
    """404, whatever the condition: it does not reveal whether a tag is right."""
    made = ada.post("/api/memory-items/", {"id": "a", "item_type": "m"}, "json")
    for tag in (made["ETag"], '"x"', "*"):
        for headers in ({"If-Match": tag}, {"If-None-Match": tag}):
            answers = [
                bob.get(PATHS[0], headers=headers),
                bob.patch(PATHS[0], CHANGE, "json", headers=headers),
                bob.delete(PATHS[0], headers=headers),
            ]
            assert [answer.status_code for answer in answers] == [404] * 3


@pytest.mark.usefixtures("_records")
def test_a_condition_costs_no_call(ada: APIClient) -> None:
    """A PATCH has the same calls to Firestore with and without one."""
    connection: Any = connections["memory"]
    if connection.vendor != "firestore":
        pytest.skip("counts calls to Firestore")

    def cost(**headers: str) -> list[str]:
        connection.force_debug_cursor = True
        connection.queries_log.clear()
        assert ada.patch(PATHS[0], CHANGE, "json", headers=headers).status_code == 200
        connection.force_debug_cursor = False
        return [rpc["method"] for rpc in connection.rpcs]

    tag = ada.get(PATHS[0])["ETag"]
    assert cost(**{"If-Match": tag}) == cost()


@transactional
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["patch", "put", "delete"])
@pytest.mark.usefixtures("_records")
def test_of_parallel_writes_with_one_tag_one_wins(
    make_user: Callable[..., Any], client_for: Any, path: str, method: str
) -> None:
    """On Firestore and PostgreSQL here; tests/api/test_parallel_writers.py has SQLite."""
    if connections["memory"].vendor == "sqlite":
        pytest.skip("an SQLite in memory has one writer")
    user = make_user("ada")
    read = client_for(user).get(path)

    def send(number: int) -> Any:
        try:
            body = {**(read.json() if method == "put" else {}), "metadata": {"n": number}}
            client = client_for(user)
            return getattr(client, method)(path, body, "json", headers={"If-Match": read["ETag"]}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = sorted(pool.map(send, range(CLIENTS)))
    lost = 404 if method == "delete" else 412
    assert answers == [204 if method == "delete" else 200] + [lost] * (CLIENTS - 1)
