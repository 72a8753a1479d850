"""A middleware of Django for sync and async requests alike, as a base class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Generic, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase

__all__ = ["RequestMiddleware"]

AroundT = TypeVar("AroundT")


class RequestMiddleware(Generic[AroundT]):
    """Makes the response inside of `around()`, and returns what `finish()` makes of it.

    A subclass overrides one of them or both. `finish_blocks`: `finish()` may query a database, so that an async request
    runs it in a thread.
    """

    sync_capable = True
    async_capable = True
    finish_blocks: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._respond_async(request)
        with self.around(request) as entered:
            response: HttpResponseBase = self.get_response(request)
        return self.finish(request, response, entered)

    async def _respond_async(self, request: HttpRequest) -> HttpResponseBase:
        with self.around(request) as entered:
            response: HttpResponseBase = await self.get_response(request)
        if self.finish_blocks:
            return await sync_to_async(self.finish)(request, response, entered)
        return self.finish(request, response, entered)

    def around(self, request: HttpRequest) -> AbstractContextManager[AroundT]:
        """The context in which the response is made. By default there is no context."""
        return nullcontext()  # type: ignore[return-value]  # of a subclass that names no type

    def finish(self, request: HttpRequest, response: HttpResponseBase, entered: AroundT) -> HttpResponseBase:
        """The response to return, given the value that `around()` yielded. By default it is unchanged."""
        return response
