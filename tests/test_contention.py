"""Waiting for SQLite's lock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import freezegun
import pytest
from django.db import OperationalError
from pytest_django import DjangoDbBlocker

from memory import contention
from tests import databases


def test_the_wait_for_a_lock_ends_though_a_test_has_frozen_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> None:
    """After `LONGEST_TURN` seconds of real time."""
    monkeypatch.setattr(contention, "LONGEST_TURN", 0.2)
    path = tmp_path / "locked.sqlite3"
    settings = {"ENGINE": "memory.backends.sqlite", "NAME": path, "OPTIONS": {"timeout": 0.05}}
    with closing(sqlite3.connect(path)) as other, databases.added("locked", settings) as alias:
        other.execute("BEGIN IMMEDIATE")
        with (
            django_db_blocker.unblock(),
            freezegun.freeze_time("2020-01-01"),
            pytest.raises(OperationalError, match="locked"),
            contention.write_transaction(alias),
        ):
            pass
