"""Requests per user and per address, counted in the cache `MEMORY["CACHE"]`, in windows of fixed length.

One atomic increment per request: nothing is lost between processes, and the cost does not grow with the rate. Around a
window's edge a client may do twice its rate for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from django.core.cache import BaseCache, caches
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from ..conf import memory_settings

# Overridden by REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]; None there means no limit.
DEFAULT_RATES: Mapping[str, str | None] = {"memory-user": "6000/min", "memory-anonymous": "60/min"}


class WindowThrottle(SimpleRateThrottle):
    """Counts requests in the current window; the rate's name is `scope`."""

    scope: str
    rate: str | None
    # Of the rate, where there is one: requests in a window, and its seconds.
    num_requests: int
    duration: int

    @property
    def cache(self) -> BaseCache:  # type: ignore[override]
        """The cache that `MEMORY["CACHE"]` names."""
        return caches[memory_settings.cache]

    def get_rate(self) -> str | None:
        """The project's rate, or else the default."""
        rates: dict[str, Any] = {**DEFAULT_RATES, **(api_settings.DEFAULT_THROTTLE_RATES or {})}
        return cast(str | None, rates[self.scope])

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request; False where it is one too many."""
        key = self.get_cache_key(request, view) if self.rate else None
        if key is None:
            return True
        window, passed = divmod(time.time(), self.duration)
        self.left: float = self.duration - passed
        return self._count(f"{key}:{window:.0f}", self.duration) <= self.num_requests

    def _count(self, key: str, seconds: int) -> int:
        self.cache.add(key, 0, timeout=seconds + 1)
        try:
            # A cache that hides its failures answers None: then nothing is counted.
            return self.cache.incr(key) or 0
        except ValueError:  # dropped by the cache since the line above
            return 0

    def wait(self) -> float:
        """Seconds until the window ends."""
        return self.left


class UserThrottle(WindowThrottle):
    """Per user; the rate is `memory-user`."""

    scope = "memory-user"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """The user's counter, or None for those who are not logged in."""
        if not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class AnonymousThrottle(WindowThrottle):
    """Per address, for requests without valid credentials; the rate is `memory-anonymous`."""

    scope = "memory-anonymous"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """The address' counter, or None for those who are logged in."""
        if request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
