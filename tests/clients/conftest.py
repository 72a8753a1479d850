"""The running service for the clients, under gunicorn with production's settings, and a token."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests import live

PYTHON = live.ROOT / "clients" / "python"
sys.path.insert(0, str(PYTHON / "src"))


@dataclass(frozen=True)
class Access:
    """The address of the service, and the token of `ada`, who may do everything."""

    url: str
    token: str = field(repr=False)
    service: live.Service


@pytest.fixture(scope="session")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """The service with one user."""
    folder = tmp_path_factory.mktemp("service")
    live.make_databases(folder)
    variables = {**live.deployed(folder), "DJANGO_SUPERUSER_PASSWORD": "a-password-for-tests"}
    live.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org", **variables)
    token = live.manage("memory_tokens", "create", "ada", **variables).strip()
    with live.service(folder, THROTTLE_ANONYMOUS="60/min") as running:
        yield Access(running.url, token, running)
