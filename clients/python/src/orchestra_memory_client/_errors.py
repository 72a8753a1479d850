"""The exceptions:

MemoryClientError
├── ConnectionFailed      no answer: the network, a timeout
└── ApiError              an answer with an error
    ├── InvalidRequest    400, 411, 413, 415
    ├── NotAuthenticated  401
    ├── Forbidden         403
    ├── NotFound          404
    ├── Conflict          409
    ├── PreconditionFailed 412
    ├── KeyReused         422
    ├── RateLimited       429
    └── ServerError       5xx
        ├── OutcomeUnknown  the write may have been applied
        └── Unavailable     503
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class MemoryClientError(Exception):
    """The base of all errors of the client."""


class ConnectionFailed(MemoryClientError):
    """The service did not answer. A write may have been applied; with its key it can be sent again."""


class ApiError(MemoryClientError):
    """The service answered with an error."""

    def __init__(self, response: httpx.Response) -> None:
        error = _error_of(response)
        self.status: int = response.status_code
        self.code = str(error.get("code", ""))
        """Stable, for programs."""
        self.message = str(error.get("message", "")) or f"status {response.status_code}"
        self.fields: Mapping[str, list[dict[str, str]]] = error.get("fields") or {}
        self.request_id = response.headers.get("X-Request-ID", "")
        """For the service's operators: their log has it, too."""
        self.retry_after = _seconds(response.headers.get("Retry-After"))
        super().__init__(f"{self.status} {self.code}: {self.message} (request {self.request_id})")


class InvalidRequest(ApiError):
    """The request is invalid: see `fields`."""


class NotAuthenticated(ApiError):
    """The token is missing, wrong or expired."""


class Forbidden(ApiError):
    """The token lacks a scope."""


class NotFound(ApiError):
    """The record does not exist, or belongs to another principal."""


class Conflict(ApiError):
    """A concurrent request wrote one of the records. Nothing was written."""


class PreconditionFailed(ApiError):
    """The record is not the one that `if_match` names. Nothing was written."""


class KeyReused(ApiError):
    """The idempotency key was used for another request."""


class RateLimited(ApiError):
    """Too many requests: see `retry_after`."""


class ServerError(ApiError):
    """The service failed."""


class OutcomeUnknown(ServerError):
    """The storage did not confirm the write, so it may have been applied."""


class Unavailable(ServerError):
    """The service or its storage is unavailable, or records are contended."""


BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    422: KeyReused,
    429: RateLimited,
    503: Unavailable,
}


def error_of(response: httpx.Response) -> ApiError:
    """The exception for a response that is no success."""
    if response.status_code >= 500:
        unknown = _error_of(response).get("code") == "outcome_unknown"
        kind = OutcomeUnknown if unknown else BY_STATUS.get(response.status_code, ServerError)
    else:
        kind = BY_STATUS.get(response.status_code, InvalidRequest)
    return kind(response)


def _error_of(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()["error"]
    except (ValueError, KeyError, TypeError):  # not of the service: a proxy
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:  # a date, which the service does not send
        return None
