"""Staff with and without permissions, and the admin's URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

VIEWER = ("view_memoryitem", "view_agentdata", "view_usersession")
Url = Callable[..., str]


@pytest.fixture
def url() -> Url:
    """`url("memoryitem", "change", pk)`: a page of the admin."""

    def make(model: str, page: str = "changelist", pk: str | None = None) -> str:
        return reverse(f"admin:memory_{model}_{page}", args=() if pk is None else (quote(pk),))

    return make


@pytest.fixture
def staff(make_user: Callable[..., Any]) -> Callable[..., Client]:
    """A browser's session of a member of staff with these permissions of the app."""

    def make(*permissions: str) -> Client:
        client = Client()
        client.force_login(make_user("staff", permissions=permissions, is_staff=True))
        return client

    return make


@pytest.fixture
def boss(make_user: Callable[..., Any]) -> Client:
    """A superuser's session."""
    client = Client()
    client.force_login(make_user("boss", is_staff=True, is_superuser=True))
    return client
