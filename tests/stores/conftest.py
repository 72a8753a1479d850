"""A database in a file of its own, which several connections can use at once, as in development."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from settings.environment import embedded
from tests import databases


@pytest.fixture
def file_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """Alias of a migrated SQLite file that holds the app's models."""
    alias = "file"
    config = embedded(str(tmp_path / "memory.sqlite3"))
    with (
        django_db_blocker.unblock(),
        override_settings(MEMORY={**settings.MEMORY, "DATABASE": alias}),
        databases.added(alias, config),
    ):
        call_command("migrate", "memory", database=alias, verbosity=0)
        yield alias
