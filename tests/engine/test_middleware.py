"""`ServerTimingMiddleware`: the header has the cost of all RPCs of a request, and of no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path

from memory.backends.firestore.base import DatabaseWrapper
from memory.backends.firestore.middleware import ServerTimingMiddleware
from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


def notes(request: HttpRequest) -> HttpResponse:
    """A count, a query for three documents, a lookup that finds nothing, and a commit."""
    found = Note.objects.filter(stars__lt=3).count() and list(Note.objects.filter(stars__lt=3))
    Note.objects.filter(pk="missing").first()
    Note.objects.filter(pk="n0").update(reads=F("reads") + 1)
    return HttpResponse(str(len(found or ())))


async def notes_async(request: HttpRequest) -> HttpResponse:
    """The same number of documents over Django's async methods."""
    found = [note async for note in Note.objects.filter(stars__lt=3)]
    await Note.objects.filter(pk="n0").aupdate(reads=F("reads") + 1)
    return HttpResponse(str(len(found)))


def bulk(request: HttpRequest) -> HttpResponse:
    """Several commits, sent by several threads."""
    Note.objects.bulk_create(Note(id=f"b{number}") for number in range(1100))
    return HttpResponse()


def nothing(request: HttpRequest) -> HttpResponse:
    """No RPC; the response has a metric of its own."""
    return HttpResponse(headers={"Server-Timing": "app;dur=1"})


def failing(request: HttpRequest) -> HttpResponse:
    """A read, then an error."""
    Note.objects.get(pk="missing")
    return HttpResponse()


urlpatterns = [
    path("notes/", notes),
    path("async/", notes_async),
    path("bulk/", bulk),
    path("nothing/", nothing),
    path("failing/", failing),
]

METRIC = re.compile(r'firestore;dur=(\d+\.\d);desc="(\d+) RPCs, (\d+) documents read, (\d+) written"')


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    """A project with the middleware and three notes."""
    Note.objects.bulk_create(Note(id=f"n{number}", stars=number) for number in range(3))
    middleware = ["memory.backends.firestore.middleware.ServerTimingMiddleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield


def counts(response: Any) -> tuple[int, int, int]:
    """RPCs, documents read and documents written."""
    found = METRIC.fullmatch(response.headers["Server-Timing"])
    assert found, response.headers["Server-Timing"]
    milliseconds, *numbers = found.groups()
    assert (float(milliseconds) > 0) == (numbers[0] != "0")
    rpcs, read, written = map(int, numbers)
    return rpcs, read, written


def test_a_request_has_its_cost() -> None:
    """A count, a query, a lookup that finds nothing, and a commit; the next request counts anew."""
    for _ in range(2):
        response = Client().get("/notes/")
        assert response.content == b"3"
        assert counts(response) == (4, 1 + 3 + 1, 1)


def test_an_async_request_has_its_cost() -> None:
    """The view runs in the event loop, its RPCs in a thread."""

    async def get() -> Any:
        return await AsyncClient().get("/async/")

    response = async_to_sync(get)()
    assert response.content == b"3"
    assert counts(response) == (2, 3, 1)


def test_the_log_is_not_needed_and_has_the_same_figures() -> None:
    """RPCs are counted with and without the log of queries; those outside of the request are not."""
    rpcs, *documents = counts(Client().get("/bulk/"))
    assert rpcs > 1
    assert documents == [0, 1100]
    with CaptureRPCsContext(connection) as captured:
        Note.objects.count()
        response = Client().get("/notes/")
    made = list(captured)[1:]
    sums = [sum(call[name] for call in made) for name in ("documents_read", "documents_written")]
    assert counts(response) == (len(made), *sums)


def test_a_request_without_rpcs_extends_the_header() -> None:
    """A metric that the response already has is kept."""
    header = Client().get("/nothing/").headers["Server-Timing"]
    assert header == 'app;dur=1, firestore;dur=0.0;desc="0 RPCs, 0 documents read, 0 written"'


def test_an_error_has_its_cost() -> None:
    """Django's response to an exception, too."""
    response = Client(raise_request_exception=False).get("/failing/")
    assert response.status_code == 500
    assert counts(response) == (1, 1, 0)


def test_it_is_not_used_without_firestore(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the same settings can be used in development on SQLite."""
    monkeypatch.setattr(DatabaseWrapper, "vendor", "sqlite")
    with pytest.raises(MiddlewareNotUsed):
        ServerTimingMiddleware(nothing)
