"""Waiting for SQLite's lock, and which writers of a process take turns."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import closing
from pathlib import Path

import freezegun
import pytest
from django.db import OperationalError
from pytest_django import DjangoDbBlocker

from memory import contention
from memory.contention import stored_key, turns_of
from memory.models import MemoryItem
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


def item(*, stored: bool) -> MemoryItem:
    """An item of one session."""
    made = MemoryItem(id="one" if stored else None, user_id="ada", session_id="s", item_type="m")
    made._state.adding = not stored
    return made


def take_turn(keys: Collection[Hashable]) -> bool:
    """Whether the turn of these keys came."""
    with turns_of("memory", keys):
        return True


def test_new_records_do_not_wait() -> None:
    """Neither for each other nor for a change of a record of their session."""
    assert stored_key([item(stored=False)]) == []
    assert stored_key([item(stored=True)]) == ["one"]
    with ThreadPoolExecutor(1) as pool, turns_of("memory", ["one"]):
        assert pool.submit(take_turn, []).result(5)


@pytest.mark.parametrize("keys", [["one"], ["two", "one"], [f"one {number}" for number in range(500)]], ids=len)
def test_changes_of_one_record_wait_for_each_other(keys: list[str]) -> None:
    """So that the database does not abort them. Of many records those of the smallest keys do."""
    with ThreadPoolExecutor(1) as pool:
        with turns_of("memory", [*keys, "z"]):
            waiting = pool.submit(take_turn, keys[::-1])
            with pytest.raises(StillWaiting):
                waiting.result(0.2)
        assert waiting.result(5)


def test_a_turn_that_does_not_come_is_not_waited_for_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer then tries without it, and gives no turn back that it has not."""
    monkeypatch.setattr(contention, "LONGEST_TURN", 0.1)
    with ThreadPoolExecutor(1) as pool, turns_of("memory", ["one"]):
        assert pool.submit(take_turn, ["one", "two"]).result(5)
    assert take_turn(["one", "two"])
