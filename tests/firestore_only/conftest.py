"""A project whose only database is the run's emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sites.models import Site
from django.core.signals import request_started
from django.db import connection, reset_queries

from memory.testing.plugin import firestore_emulator, firestore_project
from tests import backends

__all__ = ["firestore_emulator", "firestore_project"]

PASSWORD = "a-password-for-tests-1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chromium: needs a browser")
    if backends.required() and backends.chromium() is None:
        raise pytest.UsageError("MEMORY_REQUIRE_BACKENDS=1, but this machine lacks chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("chromium") and backends.chromium() is None:
            item.add_marker(pytest.mark.skip(reason="chromium is missing on this machine"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(firestore_emulator: str, firestore_project: str) -> None:
    """Points the only database at the emulator, before pytest-django makes the test database."""
    settings.DATABASES["default"]["HOST"] = firestore_emulator
    settings.DATABASES["default"]["PROJECT"] = firestore_project


@dataclass
class Cost:
    """The calls to Firestore: one line per call, and the documents that they read and wrote."""

    calls: list[str] = field(default_factory=list)
    read: int = 0
    written: int = 0

    @property
    def summary(self) -> tuple[int, int, int]:
        """Calls, documents read, documents written."""
        return len(self.calls), self.read, self.written


@pytest.fixture
def cost() -> Callable[[], Any]:
    """`with cost() as spent`: the cost of the calls made inside of the block."""

    @contextmanager
    def record() -> Iterator[Cost]:
        connection.ensure_connection()
        request_started.disconnect(reset_queries)  # a request of the test client would forget what came before it
        before, connection.force_debug_cursor = connection.force_debug_cursor, True
        spent, start = Cost(), len(connection.rpcs_log)
        try:
            yield spent
        finally:
            connection.force_debug_cursor = before
            request_started.connect(reset_queries)
            for call in list(connection.rpcs_log)[start:]:
                spent.calls.append(f"{call['method']} {call['documents_read']} {call['description']}")
                spent.read += call["documents_read"]
                spent.written += call["documents_written"]

    return record


@pytest.fixture
def boss(db: None) -> User:
    """A superuser."""
    return User.objects.create_superuser("boss", "boss@example.org", PASSWORD)


@pytest.fixture
def clerk(db: None) -> User:
    """Staff: two permissions of their own, and two groups with three and two."""
    user = User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "view_group"]))
    for name, codenames in (
        ("readers", ["view_memoryitem", "view_agentdata", "view_usersession"]),
        ("writers", ["add_memoryitem", "change_memoryitem"]),
    ):
        group = Group.objects.create(name=name)
        group.permissions.set(Permission.objects.filter(codename__in=codenames))
        user.groups.add(group)
    return user


@pytest.fixture
def warm(db: None) -> None:
    """Processes know content types and the site after their first requests; these tests are about later ones."""
    ContentType.objects.clear_cache()
    for kind in ContentType.objects.all():
        ContentType.objects.get_for_id(kind.pk)
    Site.objects.get_current()
