"""The cost of a request's calls to Firestore: a base class that measures it, and one that adds it to the response.

MIDDLEWARE = ["memory.backends.firestore.middleware.ServerTimingMiddleware", ...]
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

from ..middleware import RequestMiddleware
from .statements import Cost, metered

__all__ = ["MeteredMiddleware", "ServerTimingMiddleware"]

HEADER = "Server-Timing"


class MeteredMiddleware(RequestMiddleware[Cost]):
    """Calls `metered()` with each response and the cost of its request, and returns what that returns.

    The cost is of all RPCs that the request's code makes, in any thread that has the request's context, except those of
    a streaming response's content, which is produced later.
    """

    def around(self, request: HttpRequest) -> AbstractContextManager[Cost]:
        """The RPCs are counted."""
        return metered()

    def finish(self, request: HttpRequest, response: HttpResponseBase, entered: Cost) -> HttpResponseBase:
        """What `metered()` returns."""
        return self.metered(response, entered)

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
