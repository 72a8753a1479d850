"""Databases of Firestore for the contract, beside the SQLite one of the tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests import databases


@pytest.fixture
def firestore_alias(
    firestore_emulator: str, firestore_project: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The alias of an empty Firestore database in the run's emulator."""
    project = f"{firestore_project}-{uuid.uuid4().hex[:8]}"
    with django_db_blocker.unblock(), databases.firestore("contract", firestore_emulator, project) as alias:
        yield alias
