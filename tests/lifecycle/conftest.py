"""Fixtures of the tests of erasures, retention and audits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from memory.lifecycle import erasure
from memory.tombstones import tombstones
from tests.cache.conftest import use_redis as use_redis


@pytest.fixture(autouse=True)
def _checked_writes(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every write reads the tombstones, so that no test depends on the time, and an erasure waits for nothing."""
    settings.MEMORY = {**settings.MEMORY, "ERASURE_CHECK": 0.0}
    monkeypatch.setattr(erasure, "settle_seconds", lambda using: 0.0)
    tombstones.clear()
    yield
    tombstones.clear()


@pytest.fixture(autouse=True)
def _no_databases_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check for remains reads every database, also one that a module's fixture keeps until the session ends."""
    for alias in connections.databases.keys() - {"default", "memory"}:
        monkeypatch.delitem(connections.databases, alias)
