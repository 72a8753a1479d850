"""Request ids: `X-Request-ID` of a request, or a new one, in its response, its errors and the log.

    MIDDLEWARE = ["memory.request_ids.RequestIDMiddleware", ...]
    LOGGING = {"filters": {"request_id": {"()": "memory.request_ids.RequestIDFilter"}}, ...}

The API's views have ids without the middleware, too; with it, so have all other views and what is logged around them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

from django.http import HttpRequest, HttpResponseBase

from .backends.middleware import RequestMiddleware

HEADER: Final = "X-Request-ID"
ATTRIBUTE: Final = "request_id"
ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
"""What a client or a proxy may send: without spaces, quotes and control characters, so that a log stays readable."""

_current: ContextVar[str] = ContextVar("memory_request_id", default="")


def request_id() -> str:
    """The id of the request that this context processes; empty outside of one."""
    return _current.get()


@contextmanager
def identified(request: HttpRequest) -> Iterator[str]:
    """The id of a request, which `request_id()` returns inside; an id that stands already is kept."""
    if known := _current.get():
        yield known
        return
    sent = request.headers.get(HEADER, "")
    made = sent if ACCEPTED.fullmatch(sent) else uuid4().hex
    setattr(request, ATTRIBUTE, made)  # Django logs a response after the middlewares, with its request
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


class RequestIDMiddleware(RequestMiddleware[str]):
    """Gives each request an id and sends it in the response. Its place is before all that logs."""

    def around(self, request: HttpRequest) -> AbstractContextManager[str]:
        """The request's id stands."""
        return identified(request)

    def finish(self, request: HttpRequest, response: HttpResponseBase, entered: str) -> HttpResponseBase:
        """With the id in a header."""
        response.headers[HEADER] = entered
        return response


class RequestIDFilter(logging.Filter):
    """Adds `request_id` to log records; "-" outside of a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.request_id = request_id() or getattr(getattr(record, "request", None), ATTRIBUTE, "-")
        return True
