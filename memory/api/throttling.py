"""Fixed-window throttles per user and per address, counted in the cache `MEMORY["CACHE"]`.

Each request is one atomic increment, so counts are exact across processes and the cost does not grow with the rate.
Around the edge of a window a client can briefly reach twice its rate.

Responses have the fields of https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10:

    RateLimit-Policy: "memory-user";q=6000;w=60     the limit: 6,000 requests in 60 seconds
    RateLimit: "memory-user";r=5999;t=42            5,999 are left for the next 42 seconds
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

from django.core.cache import BaseCache, caches
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from ..conf import memory_settings

# REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] overrides these; None means no limit.
DEFAULT_RATES: Mapping[str, str | None] = {"memory-user": "6000/min", "memory-anonymous": "60/min"}

POLICY, LIMIT = "RateLimit-Policy", "RateLimit"


class WindowThrottle(SimpleRateThrottle):
    """Counts requests in the current window; `scope` names the rate."""

    scope: str
    rate: str | None
    # Set if there is a rate: requests per window, and the window's length in seconds.
    num_requests: int
    duration: int
    # Set if a request was counted: requests that are left in the window, and its seconds.
    remaining: int | None = None
    left: float

    @property
    def cache(self) -> BaseCache:  # type: ignore[override]
        """The cache of `MEMORY["CACHE"]`."""
        return caches[memory_settings.cache]

    def get_rate(self) -> str | None:
        """The project's rate, or the default."""
        rates: dict[str, Any] = {**DEFAULT_RATES, **(api_settings.DEFAULT_THROTTLE_RATES or {})}
        return cast(str | None, rates[self.scope])

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request; False if it exceeds the rate."""
        key = self.get_cache_key(request, view) if self.rate else None
        if key is None:
            return True
        window, passed = divmod(time.time(), self.duration)
        self.left = self.duration - passed
        count = self._count(f"{key}:{window:.0f}", self.duration)
        self.remaining = max(0, self.num_requests - count)
        return count <= self.num_requests

    def _count(self, key: str, seconds: int) -> int:
        for _ in range(2):
            try:
                # A cache that ignores its errors returns None: then nothing is counted.
                return self.cache.incr(key) or 0
            except ValueError:  # the first request of the window; after `add`: evicted since
                self.cache.add(key, 0, timeout=seconds + 1)
        return 0

    def headers(self) -> dict[str, str]:
        """The fields of a response; empty if no request was counted."""
        if self.remaining is None:
            return {}
        return {
            POLICY: f'"{self.scope}";q={self.num_requests};w={self.duration}',
            LIMIT: f'"{self.scope}";r={self.remaining};t={math.ceil(self.left)}',
        }

    def wait(self) -> float:
        """Seconds until the end of the window."""
        return self.left


class UserThrottle(WindowThrottle):
    """A throttle per user, with the rate `memory-user`."""

    scope = "memory-user"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """The user's key, or None for anonymous requests."""
        if not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class AnonymousThrottle(WindowThrottle):
    """A throttle per address for anonymous requests, with the rate `memory-anonymous`."""

    scope = "memory-anonymous"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """The address's key, or None for authenticated requests."""
        if request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
