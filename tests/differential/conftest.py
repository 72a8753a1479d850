"""The database `firestore`: the run's emulator, beside the SQLite databases of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import databases


@pytest.fixture(scope="session", autouse=True)
def firestore_alias(firestore_emulator: str, firestore_project: str) -> Iterator[str]:
    """The alias of a Firestore database of this process' own."""
    # The emulator has no indexes for arrays: a search's queries, all at once, may take it longer than a call may.
    with databases.firestore("firestore", firestore_emulator, firestore_project, timeout=60.0) as alias:
        yield alias
