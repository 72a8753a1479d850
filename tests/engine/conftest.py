"""The engine's tests run on the emulator, in their own project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.contrib.contenttypes.management import create_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.signals import post_migrate

from memory.testing.plugin import firestore_emulator, firestore_project
from tests import randomness

__all__ = ["firestore_emulator", "firestore_project"]

randomness.load_profile()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(firestore_emulator: str, firestore_project: str) -> None:
    """Points the default database at the emulator, before pytest-django makes the test databases."""
    settings.DATABASES["default"]["HOST"] = firestore_emulator
    settings.DATABASES["default"]["PROJECT"] = firestore_project


PERMISSIONS = "django.contrib.auth.management.create_permissions"


def _clear_content_types(**_: Any) -> None:
    ContentType.objects.clear_cache()


@contextmanager
def rows_of_post_migrate(written: bool) -> Iterator[None]:
    """Whether `flush` writes permissions and content types again."""
    change = post_migrate.connect if written else post_migrate.disconnect
    undo = post_migrate.disconnect if written else post_migrate.connect
    change(create_permissions, dispatch_uid=PERMISSIONS)
    change(create_contenttypes)
    try:
        yield
    finally:
        undo(create_permissions, dispatch_uid=PERMISSIONS)
        undo(create_contenttypes)


@pytest.fixture(scope="session", autouse=True)
def no_rows_of_post_migrate(django_db_setup: None) -> Iterator[None]:
    """No permissions and content types after each flush.

    The emulator keeps deleted documents, and a query passes over those of its collection: hundreds of flushes that
    write the same rows make each query of them slower than the one before.
    """
    post_migrate.connect(_clear_content_types)
    with rows_of_post_migrate(written=False):
        yield
    post_migrate.disconnect(_clear_content_types)


@pytest.fixture
def calls() -> Callable[[], Any]:
    """A context manager that yields the list of calls made inside it."""

    @contextmanager
    def record() -> Iterator[list[dict[str, Any]]]:
        connection.ensure_connection()
        before, connection.force_debug_cursor = connection.force_debug_cursor, True
        made: list[dict[str, Any]] = []
        start = len(connection.rpcs_log)
        try:
            yield made
        finally:
            connection.force_debug_cursor = before
            made.extend(list(connection.rpcs_log)[start:])

    return record


@pytest.fixture(autouse=True)
def same_catalog() -> Iterator[None]:
    """Tables that a test migrates are described as before it, since they are flushed and not migrated back."""
    tables = connection.introspection.catalog.tables
    before = dict(tables)
    yield
    tables.clear()
    tables.update(before)
