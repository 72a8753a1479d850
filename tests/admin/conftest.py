"""Fixtures of the admin's tests: clients of staff users, and URLs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

VIEWER = ("view_memoryitem", "view_agentdata", "view_usersession")
Url = Callable[..., str]


@pytest.fixture
def url() -> Url:
    """`url("memoryitem", "change", pk)`: the URL of an admin page."""

    def make(model: str, page: str = "changelist", pk: str | None = None) -> str:
        return reverse(f"admin:memory_{model}_{page}", args=() if pk is None else (quote(pk),))

    return make


@pytest.fixture
def staff(make_user: Callable[..., Any]) -> Callable[..., Client]:
    """A client logged in as a new staff user with the given permissions of the app."""
    numbers = count()

    def make(*permissions: str) -> Client:
        client = Client()
        client.force_login(make_user(f"staff{next(numbers) or ''}", permissions=permissions, is_staff=True))
        return client

    return make


@pytest.fixture
def superuser(make_user: Callable[..., Any]) -> Client:
    """A client logged in as a superuser."""
    client = Client()
    client.force_login(make_user("superuser", is_staff=True, is_superuser=True))
    return client
