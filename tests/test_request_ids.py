"""Request ids: accepted or made, in responses, errors and the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from rest_framework.test import APIClient

from memory.models import MemoryItem
from memory.request_ids import HEADER, RequestIDFilter, RequestIDMiddleware, request_id

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


@pytest.mark.parametrize("sent", ["5f0c1e7a-b2d9", "a" * 128, "Root=1-67891233-abcdef012345678912345678"])
def test_an_id_of_the_client_is_kept(client: Client, sent: str) -> None:
    """In successful responses and in errors."""
    assert client.get("/api/health/live", headers={HEADER: sent})[HEADER] == sent
    refused = client.get("/api/memory-items/", headers={HEADER: sent})
    assert (refused[HEADER], refused.json()["error"]["request_id"]) == (sent, sent)


@pytest.mark.parametrize("sent", ["", "a" * 129, "two words", 'a"b', "a\nb", "ü", "a,b", "\x00", "a" * 100_000])
def test_another_text_is_replaced(client: Client, sent: str) -> None:
    """So that it cannot forge lines of the log."""
    found = client.get("/api/nothing", headers={HEADER: sent})
    assert found.status_code == 404
    assert found[HEADER] == found.json()["error"]["request_id"] != sent
    assert len(found[HEADER]) == 32


def test_ids_differ(client: Client) -> None:
    """Each request has one of its own, in the admin, too; none is left after it."""
    paths = ("/api/health/live", "/api/health/live", "/admin/login/", "/api/schema/")
    assert len({client.get(path)[HEADER] for path in paths}) == len(paths)
    assert request_id() == ""


@override_settings(MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"])
def test_the_api_needs_no_middleware(client: Client) -> None:
    """In another project its views have ids, too."""
    for path in ("/api/memory-items/", "/api/nothing", "/api/health/live"):
        assert client.get(path, headers={HEADER: "mine"})[HEADER] == "mine"


def test_the_log_has_the_id(
    make_user: Callable[..., Any],
    client_for: Callable[[Any], APIClient],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a request that failed, as its error has it."""

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(MemoryItem, "save", fail)
    caplog.handler.addFilter(RequestIDFilter())
    failed = client_for(make_user("ada")).post("/api/memory-items/", {"item_type": "m"}, "json")
    assert failed.status_code == 503
    [record] = [record for record in caplog.records if record.name == "memory.api.errors"]
    assert record.request_id == failed.json()["error"]["request_id"] == failed[HEADER]  # type: ignore[attr-defined]
    [of_django] = [record for record in caplog.records if record.name == "django.request"]
    assert of_django.request_id == failed[HEADER]  # type: ignore[attr-defined]
    logging.getLogger("memory").warning("outside of a request")
    assert caplog.records[-1].request_id == "-"  # type: ignore[attr-defined]


def test_asynchronous_requests() -> None:
    """Concurrent ones keep their ids apart."""

    async def view(request: Any) -> HttpResponse:
        await asyncio.sleep(0.01)
        return HttpResponse(request_id())

    async def both() -> list[Any]:
        middleware: Any = RequestIDMiddleware(view)
        requests = [RequestFactory().get("/", headers={HEADER: name}) for name in "ab"]
        return await asyncio.gather(*(middleware(request) for request in requests))

    responses = asyncio.run(both())
    assert [(response.content, response[HEADER]) for response in responses] == [(b"a", "a"), (b"b", "b")]
