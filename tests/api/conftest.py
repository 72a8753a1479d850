"""Fixtures of the API's tests: principals, and empty throttle counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient


@pytest.fixture(autouse=True)
def _fresh_throttles() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ada(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """A client logged in as `ada`."""
    return client_for(make_user("ada"))


@pytest.fixture
def bob(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """A client logged in as `bob`, another principal."""
    return client_for(make_user("bob"))


@pytest.fixture
def operator(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """A client logged in as `operator`, who may act for any user."""
    return client_for(make_user("operator", permissions=("act_for_any_user",)))


def codes(response: Any) -> dict[str, list[str]]:
    """The error codes of a response, by field."""
    return {
        name: [problem["code"] for problem in problems] for name, problems in response.json()["error"]["fields"].items()
    }
