"""What a request of the API costs does not grow with what is stored: every operation of the routers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from memory.access.models import AccessToken
from memory.api.urls import router
from memory.models import AgentData, MemoryItem, UserSession
from memory.search.segment_cache import cache

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

START = datetime(2020, 1, 1, tzinfo=UTC)
ITEM = {"item_type": "message", "session_id": "new", "text_content": "a train"}
PLAN = {"data_type": "plan", "content": {}}
FEW, MANY = 4, 60
IDS = [f"i{number}" for number in range(FEW)]
# By viewset and action: the method, the path and the body of a request. Paged ones return `FEW` records.
REQUESTS: Mapping[tuple[str, str], tuple[str, str, Any]] = {
    ("memory-items", "list"): ("get", "memory-items/?limit=4", None),
    ("memory-items", "create"): ("post", "memory-items/", ITEM),
    ("memory-items", "retrieve"): ("get", "memory-items/i0/", None),
    ("memory-items", "update"): ("put", "memory-items/i0/", ITEM),
    ("memory-items", "partial_update"): ("patch", "memory-items/i0/", {"metadata": {"a": 1}}),
    ("memory-items", "destroy"): ("delete", "memory-items/i1/", None),
    ("memory-items", "bulk"): ("post", "memory-items/bulk/", {"items": [ITEM, ITEM]}),
    ("memory-items", "bulk_upsert"): ("put", "memory-items/bulk/", {"items": [{"id": "i0", **ITEM}]}),
    ("memory-items", "bulk_delete"): ("post", "memory-items/bulk/delete/", {"ids": ["i2"]}),
    ("memory-items", "bulk_get"): ("post", "memory-items/bulk/get/", {"ids": IDS}),
    ("memory-items", "check_duplicate"): (
        "post",
        "memory-items/check-duplicate/",
        {"item_type": "m", "text_content": "a train"},
    ),
    ("memory-items", "context"): ("post", "memory-items/context/", {"question": "Which train?", "session_id": "s0"}),
    ("memory-items", "search"): ("get", "memory-items/search/?q=train&limit=4", None),
    ("memory-items", "search_many"): ("post", "memory-items/search/", {"questions": ["train"], "limit": 4}),
    ("agent-data", "list"): ("get", "agent-data/?limit=4", None),
    ("agent-data", "create"): ("post", "agent-data/", PLAN),
    ("agent-data", "retrieve"): ("get", "agent-data/i0/", None),
    ("agent-data", "update"): ("put", "agent-data/i0/", PLAN),
    ("agent-data", "partial_update"): ("patch", "agent-data/i0/", {"metadata": {"a": 1}}),
    ("agent-data", "destroy"): ("delete", "agent-data/i1/", None),
    ("agent-data", "bulk"): ("post", "agent-data/bulk/", {"items": [PLAN, PLAN]}),
    ("agent-data", "bulk_upsert"): ("put", "agent-data/bulk/", {"items": [{"id": "i0", **PLAN}]}),
    ("agent-data", "bulk_delete"): ("post", "agent-data/bulk/delete/", {"ids": ["i2"]}),
    ("agent-data", "bulk_get"): ("post", "agent-data/bulk/get/", {"ids": IDS}),
    ("sessions", "list"): ("get", "sessions/?limit=4", None),
    ("sessions", "create"): ("post", "sessions/", {"session_id": "made"}),
    ("sessions", "retrieve"): ("get", "sessions/ada:s0/", None),
    ("sessions", "update"): ("put", "sessions/ada:s0/", {"session_id": "s0"}),
    ("sessions", "partial_update"): ("patch", "sessions/ada:s0/", {"metadata": {"a": 1}}),
    ("sessions", "destroy"): ("delete", "sessions/ada:s1/", None),
    ("sessions", "history"): ("get", "sessions/ada:s0/history/?limit=4", None),
    ("people", "erasure"): ("get", "people/ada/erase/", None),
}
TOUCH: Mapping[tuple[str, str], tuple[str, str, Any]] = {
    ("memory-items", "touch"): ("post", "memory-items/search/", {"questions": ["train"], "touch": True}),
}
"""A search that writes."""
SCOPES = (("read",), ("write",), ("forget",), ("write", "forget"), ("read", "forget"))
READ_ONLY = {"id", "created_at", "written", "content_hash"}
ERASURE: Mapping[tuple[str, str], tuple[str, str, Any]] = {("people", "erase"): ("post", "people/ada/erase/", {})}
"""Its cost is that of the person."""


def operations() -> set[tuple[str, str]]:
    """Every action of the routers."""
    return {
        (url.callback.initkwargs["basename"], name) for url in router.urls for name in url.callback.actions.values()
    }


def write(first: int, last: int) -> None:
    """Items, each in a session and a year of its own, and agent data."""
    times = [START - timedelta(days=366 * number) for number in range(first, last)]
    MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"i{number}",
            user_id="ada",
            session_id=f"s{number}",
            item_type=f"type {number}",
            text_content=f"the train number {number}",
            metadata={f"key {number}": number},
            timestamp=time,
        )
        for number, time in enumerate(times, first)
    )
    AgentData.objects.bulk_create(
        AgentData(id=f"i{number}", agent_id="ada", data_type=f"type {number}", timestamp=time)
        for number, time in enumerate(times, first)
    )


def sent(client: APIClient, request: tuple[str, str, Any]) -> Any:
    """The response to a request. A replacement has all values of the record."""
    method, path, body = request
    if method == "put" and "bulk" not in path:
        kept = client.get(f"/api/{path}").json()
        body = {name: value for name, value in kept.items() if name not in READ_ONLY} | body
    return getattr(client, method)(f"/api/{path}", body, format="json")


def statements(client: APIClient) -> dict[tuple[str, str], int]:
    """The statements of each request, by operation. Nothing is kept by the process."""
    found = {}
    for operation, request in REQUESTS.items():
        cache.clear()
        with CaptureQueriesContext(connections["memory"]) as captured:
            response = sent(client, request)
        assert response.status_code < 300, (operation, response.content)
        found[operation] = len(captured)
    return found


def test_every_operation_has_a_request() -> None:
    """A new one fails here until it has one."""
    assert operations() == REQUESTS.keys() | ERASURE.keys()


def test_a_request_has_as_many_statements_whatever_is_stored(
    make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]
) -> None:
    """With few records, and with fifteen times as many."""
    client = client_for(make_user("ada", permissions=("erase_person",)))
    write(0, FEW)
    few = statements(client)
    for model in (MemoryItem, AgentData, UserSession):
        model._base_manager.all().delete()
    write(0, MANY)
    many = statements(client)
    assert {one: (few[one], many[one]) for one in few if many[one] > few[one]} == {}


NEEDED = {"get": "read", "post": "write", "put": "write", "patch": "write", "delete": "forget"}
NEEDED_BY = dict.fromkeys(("bulk_get", "check_duplicate", "context", "search_many"), "read") | dict.fromkeys(
    ("bulk_delete", "erase"), "forget"
)
"""By method, and by the actions whose method says something else."""


def test_every_operation_needs_a_scope(make_user: Callable[..., Any]) -> None:
    """Without it a token is refused, and nothing is written; a token that may only read changes nothing."""
    user = make_user("ada", permissions=("erase_person",))
    clients = {scopes: APIClient() for scopes in SCOPES}
    for scopes, client in clients.items():
        client.credentials(HTTP_AUTHORIZATION=f"Token {AccessToken.objects.issue(user, scopes)[1]}")
    write(0, FEW)
    for operation, request in {**REQUESTS, **TOUCH, **ERASURE}.items():
        needed = "write" if operation in TOUCH else NEEDED_BY.get(operation[1], NEEDED[request[0]])
        for scopes, client in clients.items():
            if needed in scopes and needed != "read":
                continue
            with CaptureQueriesContext(connections["memory"]) as captured:
                response = sent(client, request)
            assert response.status_code == (200 if needed in scopes else 403), (operation, scopes, response.content)
            changes = [one["sql"] for one in captured if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
            assert changes == [], (operation, scopes)
