"""Requests as values, and when they are repeated. No I/O: both clients run these."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from ._errors import error_of
from ._types import Stored

T = TypeVar("T")

KEY: Final = "Idempotency-Key"
REPEATED: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a request is sent again. A write has a key, so it is applied once."""
IN_USE: Final = "idempotency_key_in_use"
NOT_MODIFIED: Final = 304


@dataclass(frozen=True)
class Retries:
    """How often a request is sent, and the pauses between in seconds: random, and doubled up to the longest.

    A pause is not shorter than the service asks for. If that is more than `longest_wait`, the error is raised instead.
    """

    attempts: int = 4
    first_pause: float = 0.2
    longest_pause: float = 10.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be at least 1.")

    def pause_after(self, attempt: int, response: httpx.Response | None) -> float | None:
        """Seconds until the request is sent again; None: it is not. `attempt` begins with 0. No response: no answer."""
        if attempt >= self.attempts - 1 or (response is not None and not may_repeat(response)):
            return None
        wait = 0.0 if response is None else error_of(response).retry_after or 0.0
        if wait > self.longest_wait:
            return None
        most: float = min(self.longest_pause, self.first_pause * 2**attempt)
        return max(wait, random.uniform(most / 2, most))  # noqa: S311 - no secret


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its response is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def sent(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request of one attempt. `path` is a whole URL if it is the link of a page."""
        options: dict[str, Any] = {"json": self.body} if self.body is not None else {}
        if self.params:
            options["params"] = self.params
        return client.build_request(self.method, self.path, headers=self.headers, **options)

    def with_key(self, key: str | None) -> Call[T]:
        """The call with an idempotency key: this one, or a new one."""
        return replace(self, headers={**self.headers, KEY: key or str(uuid4())})


def answer_of(call: Call[T], response: httpx.Response) -> T:
    """What the call returns. Raises `ApiError`."""
    if response.is_success or response.status_code == NOT_MODIFIED:
        return call.read(response)
    raise error_of(response)


def may_repeat(response: httpx.Response) -> bool:
    """Whether the request is sent again after this response."""
    return response.status_code in REPEATED or (response.status_code == 409 and error_of(response).code == IN_USE)


def body_of(response: httpx.Response) -> Any:
    """The parsed body."""
    return response.json()


def nothing(response: httpx.Response) -> None:
    """The response has no body."""


def stored(response: httpx.Response) -> Stored[Any]:
    """The record in a response, with its tag."""
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Stored(response.json(), response.headers.get("ETag"), replayed)


def stored_unless_known(response: httpx.Response) -> Stored[Any] | None:
    """The record, or None if the client has it already."""
    return None if response.status_code == NOT_MODIFIED else stored(response)


def detail(collection: str, pk: str) -> str:
    """The path of a record."""
    return f"api/{collection}/{quote(pk, safe='')}/"


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None; booleans as the API spells them."""
    spelled = {True: "true", False: "false"}
    return {
        name: spelled[value] if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None
    }


def conditions(if_match: str | None) -> dict[str, str]:
    """The headers of a conditional write."""
    return {} if if_match is None else {"If-Match": if_match}
