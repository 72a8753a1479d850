"""The engine's tests run on the emulator, in their own project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from memory.testing.plugin import firestore_emulator, firestore_project

__all__ = ["firestore_emulator", "firestore_project"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(firestore_emulator: str, firestore_project: str) -> None:
    """Points the default database at the emulator, before pytest-django makes the test databases."""
    settings.DATABASES["default"]["HOST"] = firestore_emulator
    settings.DATABASES["default"]["PROJECT"] = firestore_project


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
