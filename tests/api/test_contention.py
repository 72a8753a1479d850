"""Conflicting writes: they are retried as a whole, and errors state whether the write was applied."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, InternalError, NotSupportedError, OperationalError, connections
from rest_framework.test import APIClient

from memory.backends.firestore import errors
from memory.exceptions import ConnectionError, StorageError, translated
from memory.models import AgentData, MemoryItem, UserSession

from .conftest import codes
from .test_costs import REQUESTS, TOUCH, sent, write

ITEMS = "/api/memory-items/"
CLIENTS, ROUNDS = 8, 4

transactional = pytest.mark.django_db(databases=["default", "memory"], transaction=True)
inside = pytest.mark.django_db(databases=["default", "memory"])


def in_parallel(send: Callable[[int, int], Any]) -> list[int]:
    """The statuses of `ROUNDS` requests of each of `CLIENTS` threads; `send` gets the numbers of both."""

    def run(client: int) -> list[int]:
        try:
            return [send(client, number).status_code for number in range(ROUNDS)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [status for statuses in pool.map(run, range(CLIENTS)) for status in statuses]


@pytest.fixture
def new_client(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> Callable[[], APIClient]:
    user = make_user("ada")
    return lambda: client_for(user)


def only_firestore() -> None:
    if connections["memory"].vendor != "firestore":
        pytest.skip("an SQLite in memory has one writer, whom the others' locks fail")


@transactional
def test_parallel_patches_of_one_item_all_succeed(new_client: Callable[[], APIClient]) -> None:
    """Each reads and writes the item in a transaction, and is retried as a whole after contention."""
    only_firestore()
    MemoryItem.objects.create(id="a", user_id="ada", item_type="m", text_content="hello")
    statuses = in_parallel(lambda client, number: new_client().patch(f"{ITEMS}a/", {"metadata": {"n": number}}, "json"))
    assert statuses == [200] * CLIENTS * ROUNDS


@transactional
def test_parallel_posts_into_a_new_session_all_succeed(new_client: Callable[[], APIClient]) -> None:
    """Each creates or widens the session's row."""
    only_firestore()
    body = {"item_type": "m", "session_id": "s", "text_content": "hello"}
    assert in_parallel(lambda *_: new_client().post(ITEMS, body, "json")) == [201] * CLIENTS * ROUNDS
    assert MemoryItem.objects.in_session("s").count() == CLIENTS * ROUNDS
    assert UserSession.objects.get(pk="ada:s")


@transactional
def test_a_write_of_one_record_opens_no_transaction_of_its_own(
    new_client: Callable[[], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `save()` and `delete()`, which retry outside of transactions only, do so."""
    seen: list[bool] = []
    for name in ("save", "delete"):
        original = getattr(AgentData, name)

        def watched(self: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            seen.append(connections["memory"].in_atomic_block)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(AgentData, name, watched)
    client = new_client()
    assert client.post("/api/agent-data/", {"id": "a", "data_type": "d"}, "json").status_code == 201
    assert client.post("/api/agent-data/", {"id": "a", "data_type": "d"}, "json").status_code == 400
    assert client.delete("/api/agent-data/a/").status_code == 204
    assert seen == [False] * 3


def locked() -> OperationalError:
    """SQLite's error for a database that another writer holds, as Django raises it."""
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = OperationalError("database is locked")
    error.__cause__ = cause
    return error


def unimplemented() -> NotSupportedError:
    """The engine's error for a call that the server does not implement."""
    from google.api_core.exceptions import MethodNotImplemented

    cause = MethodNotImplemented("no")  # type: ignore[no-untyped-call]
    error = errors.map_error(cause, "a query")
    assert isinstance(error, NotSupportedError)
    error.__cause__ = cause
    return error


TOO_LARGE = "the transaction has 12,345,678 bytes; the limit of Firestore is 10,000,000. Nothing was sent."
FAILURES: dict[str, tuple[Exception, int, str]] = {
    "contention": (errors.Contention("secret"), 503, "contention"),
    "a locked SQLite": (locked(), 503, "contention"),
    "an unknown outcome": (errors.OutcomeUnknown("secret"), 500, "outcome_unknown"),
    "a transaction that is too large": (errors.TransactionTooLarge(TOO_LARGE), 413, "commit_too_large"),
    "a missing index": (errors.MissingIndex("secret"), 503, "missing_index"),
    "a refused value": (DataError("secret"), 400, "invalid_value"),
    "a broken storage": (InternalError("secret"), 503, "unavailable"),
    "a storage that is away": (OperationalError("secret"), 503, "unavailable"),
    "a query that is too broad": (errors.QueryTooBroad("secret"), 400, "too_broad"),
    "a call that is not implemented": (unimplemented(), 503, "unavailable"),
}


@inside
@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("method", ["post", "patch", "delete", "bulk"])
def test_failures_of_writes_have_a_code(
    ada: APIClient, monkeypatch: pytest.MonkeyPatch, make_item: Callable[..., Any], case: str, method: str
) -> None:
    """Each failure of storage has its status and code; only writes that were not applied may be repeated."""
    error, status, code = FAILURES[case]
    item = make_item(id="known")

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    for owner, name in ((MemoryItem, "save"), (MemoryItem, "delete"), (type(MemoryItem.objects.all()), "bulk_create")):
        monkeypatch.setattr(owner, name, fail)
    body = {"id": "new", "item_type": "m"}
    response = {
        "post": lambda: ada.post(ITEMS, body, "json"),
        "patch": lambda: ada.patch(f"{ITEMS}{item.pk}/", {"item_type": "n"}, "json"),
        "delete": lambda: ada.delete(f"{ITEMS}{item.pk}/"),
        "bulk": lambda: ada.post(f"{ITEMS}bulk/", {"items": [body, {**body, "id": "other"}]}, "json"),
    }[method]()
    found = response.json()["error"]
    assert (response.status_code, found["code"]) == (status, code)
    assert b"secret" not in response.content
    assert ("Retry-After" in response) == (status == 503)
    if code == "outcome_unknown":
        ids = {"post": ["new"], "bulk": ["new", "other"]}.get(method, ["known"])
        assert [problem["message"] for problem in found["fields"]["id"]] == ids
        assert "try again" not in found["message"]
    if code == "commit_too_large":
        assert "12,345,678 bytes; the limit is 10,000,000" in found["message"]


WRITES = {
    operation: request
    for operation, request in REQUESTS.items()
    if request[0] != "get" and operation[1] not in ("bulk_get", "check_duplicate", "context", "search_many")
} | TOUCH
CHANGES = ("INSERT", "UPDATE", "DELETE")


@inside
@pytest.mark.embedded("Firestore has no statements in SQL")
@pytest.mark.parametrize("case", FAILURES)
def test_failures_of_every_write_have_a_code(
    case: str, make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]
) -> None:
    """The same for each operation that writes: its first statement that changes something fails."""
    error, status, code = FAILURES[case]
    client = client_for(make_user("ada"))
    write(0, 3)

    def failing(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith(CHANGES):
            raise error
        return execute(sql, *more)

    answers = {}
    for operation in WRITES:
        with connections["memory"].execute_wrapper(failing):
            response = sent(client, WRITES[operation])
        assert b"secret" not in response.content
        found = response.json()["error"]
        answers[operation] = response.status_code, found["code"], bool(found.get("fields", {}).get("id"))
    # What a search notes as used is not known before it has searched, and may be noted again.
    expected = dict.fromkeys(WRITES, (status, code, code == "outcome_unknown"))
    assert answers == expected | dict.fromkeys(TOUCH, (status, code, False))


@transactional
@pytest.mark.parametrize("operation", WRITES, ids="-".join)
def test_parallel_writes_of_every_kind_succeed(operation: tuple[str, str], new_client: Callable[[], APIClient]) -> None:
    """Eight clients send the same write at once; one that deletes finds nothing the second time."""
    only_firestore()
    write(0, 3)
    statuses = Counter(in_parallel(lambda *_: sent(new_client(), WRITES[operation])))
    allowed = {200, 201, 204, 404} if "destroy" in operation[1] else {200, 201, 204}
    if operation == ("sessions", "create"):
        allowed |= {400}  # the second one is taken
    assert statuses.keys() <= allowed, statuses


@transactional
def test_an_unknown_outcome_names_the_generated_id(ada: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client did not choose the id, and needs it to find out."""
    original = MemoryItem.save

    def lost(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        raise errors.OutcomeUnknown("the response was lost")

    monkeypatch.setattr(MemoryItem, "save", lost)
    response = ada.post(ITEMS, {"item_type": "m"}, "json")
    assert codes(response) == {"id": ["outcome_unknown"]}
    pk = response.json()["error"]["fields"]["id"][0]["message"]
    assert ada.get(f"{ITEMS}{pk}/").status_code == 200
    monkeypatch.undo()
    retried = ada.post(ITEMS, {"id": pk, "item_type": "m"}, "json")
    assert codes(retried) == {"id": ["taken"]}


def test_stores_name_contention_and_unknown_outcomes() -> None:
    """An unknown outcome is not a ConnectionError, since the call must not simply be repeated."""
    unknown = translated(errors.OutcomeUnknown("secret"), "Storing")
    assert type(unknown) is StorageError
    assert "read the records" in str(unknown)
    contention = translated(errors.Contention("secret"), "Storing")
    assert type(contention) is ConnectionError
    assert "nothing was written" in str(contention)


@transactional
def test_a_bulk_above_one_commit_is_refused(ada: APIClient) -> None:
    """413 with the numbers; nothing is written. SQLite has no such limit."""
    only_firestore()
    text = "x" * 950_000
    response = ada.post(f"{ITEMS}bulk/", {"items": [{"item_type": "m", "text_content": text}] * 16}, "json")
    assert response.status_code == 413, response.content[:500]
    assert "bytes; the limit is" in response.json()["error"]["message"]
    assert not MemoryItem.all_objects.exists()


@inside
def test_hostile_cursor_is_invalid(ada: APIClient) -> None:
    """A lone surrogate in a cursor's id is a 400."""
    import base64
    import json

    for parts in (["-timestamp", False, "2026-01-01T00:00:00+00:00", "\ud800"], ["\ud800", False, "x", "a"]):
        cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
        assert codes(ada.get(f"{ITEMS}?cursor={cursor}")) == {"cursor": ["invalid_cursor"]}


@inside
@pytest.mark.parametrize("key", ["k" * 701, "k" * 1491, "é" * 700, "\\" * 1400], ids=len)
def test_long_metadata_key_is_named(ada: APIClient, key: str) -> None:
    """400 on every engine; the longest key works."""
    assert codes(ada.get(ITEMS, {"metadata_key": key})) == {"metadata_key": ["too_long"]}
    assert ada.get(ITEMS, {"metadata_key": "`\\" * 350}).status_code == 200
