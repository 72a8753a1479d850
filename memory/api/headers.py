"""The API's own headers, for settings of CORS. This module imports no Django, so settings modules can import it."""

from typing import Final

REQUEST_HEADERS: Final = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "x-csrftoken",
    "x-request-id",
)
"""Headers that a browser may send from another origin: `CORS_ALLOW_HEADERS`."""

RESPONSE_HEADERS: Final = (
    "etag",
    "idempotent-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "x-request-id",
)
"""Headers that a script from another origin may read: `CORS_EXPOSE_HEADERS`."""
