"""Databases of Firestore for the contract, beside the SQLite one of the tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

ENGINE = "memory.backends.firestore"


@pytest.fixture
def firestore_alias(
    firestore_emulator: str, firestore_project: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The alias of an empty Firestore database in the run's emulator."""
    alias = "contract"
    settings = {"ENGINE": ENGINE, "HOST": firestore_emulator, "PROJECT": f"{firestore_project}-{uuid.uuid4().hex[:8]}"}
    made = connections.configure_settings({"default": connections.databases["default"], alias: settings})
    connections.databases[alias] = made[alias]
    with django_db_blocker.unblock():
        yield alias
        connections[alias].close()
    del connections.databases[alias], connections[alias]
