"""The cost of a request's calls to Firestore: a base class that measures it, and one that adds it to the response.

MIDDLEWARE = ["memory.backends.firestore.middleware.ServerTimingMiddleware", ...]
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

from .statements import Cost, metered

__all__ = ["MeteredMiddleware", "ServerTimingMiddleware"]

HEADER = "Server-Timing"


class MeteredMiddleware:
    """Calls `metered()` with each response and the cost of its request, and returns what that returns.

    The cost is of all RPCs that the request's code makes, in any thread that has the request's context, except those of
    a streaming response's content, which is produced later.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._respond_async(request)
        with metered() as cost:
            response: HttpResponseBase = self.get_response(request)
        return self.metered(response, cost)

    async def _respond_async(self, request: HttpRequest) -> HttpResponseBase:
        with metered() as cost:
            response: HttpResponseBase = await self.get_response(request)
        return self.metered(response, cost)

    def metered(self, response: HttpResponseBase, cost: Cost) -> HttpResponseBase:
        """The response to return."""
        raise NotImplementedError


class ServerTimingMiddleware(MeteredMiddleware):
    """Sets the header `Server-Timing` to the number of RPCs, the documents read and written, and the RPCs' duration.

    `firestore;dur=12.3;desc="2 RPCs, 20 documents read, 1 written"`. The duration is the sum of the RPCs' durations in
    milliseconds, so that of concurrent RPCs can exceed the duration of the request. An existing `Server-Timing` header
    is extended.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        if all(connection.vendor != "firestore" for connection in connections.all()):
            raise MiddlewareNotUsed("No database of the project is Firestore.")
        super().__init__(get_response)

    def metered(self, response: HttpResponseBase, cost: Cost) -> HttpResponseBase:
        """With the header."""
        return with_header(response, cost)


def with_header(response: HttpResponseBase, cost: Cost) -> HttpResponseBase:
    """The response with the header."""
    counts = f"{cost.rpcs} RPCs, {cost.documents_read} documents read, {cost.documents_written} written"
    metric = f'firestore;dur={cost.seconds * 1000:.1f};desc="{counts}"'
    present = response.headers.get(HEADER)
    response.headers[HEADER] = f"{present}, {metric}" if present else metric
    return response
