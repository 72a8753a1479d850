"""The database `firestore`: the run's emulator, beside the SQLite databases of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections


@pytest.fixture(scope="session", autouse=True)
def firestore_alias(firestore_emulator: str, firestore_project: str) -> Iterator[str]:
    """The alias of a Firestore database of this process' own."""
    alias = "firestore"
    connections.databases[alias] = connections.configure_settings(
        {
            "default": connections.databases["default"],
            alias: {"ENGINE": "memory.backends.firestore", "HOST": firestore_emulator, "PROJECT": firestore_project},
        }
    )[alias]
    yield alias
    connections[alias].close()
    del connections.databases[alias], connections[alias]
