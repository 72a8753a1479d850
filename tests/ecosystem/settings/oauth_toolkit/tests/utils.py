"""django-oauth-toolkit: the helpers of its tests, which its source distribution does not contain."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from unittest import mock


def get_basic_auth_header(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication, as Django's test client takes it."""
    return {"HTTP_AUTHORIZATION": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def spy_on(method: Callable[..., Any]) -> Any:
    """The method, which records its calls in the mock `spy`."""
    spy = mock.MagicMock()

    def call(*arguments: Any, **options: Any) -> Any:
        spy(*arguments, **options)
        return method(*arguments, **options)

    call.spy = spy  # type: ignore[attr-defined]
    return call
