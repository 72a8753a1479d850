"""Fifty writers of one session at once, on each engine: none fails, and the session's times include all items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from memory.models import MemoryItem, UserSession
from tests import databases

WRITERS = 50
NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)
ENGINES = (pytest.param("postgresql", marks=pytest.mark.postgresql), "firestore", "stock")


@pytest.fixture
def stock(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of an SQLite file with Django's default options."""
    options = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "stock.sqlite3")}
    with django_db_blocker.unblock(), databases.added("stock", options):
        with override_settings(MEMORY={**settings.MEMORY, "DATABASE": "stock"}):  # which the router asks
            call_command("migrate", database="stock", verbosity=0)
        yield "stock"


@pytest.fixture(params=ENGINES)
def alias(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database without rows of the app."""
    name: str = request.param
    if name != "firestore":
        request.getfixturevalue(name)
    with django_db_blocker.unblock():
        MemoryItem.all_objects.using(name).all().delete()
        UserSession.objects.using(name).all().delete()
        yield name


def at_once(write: Callable[[int], Any]) -> list[Exception]:
    """The errors of all writers, which begin at the same time."""
    barrier = Barrier(WRITERS)

    def one(number: int) -> Exception | None:
        barrier.wait(60)
        try:
            write(number)
        except Exception as error:  # noqa: BLE001 - the test reports any
            return error
        finally:
            connections.close_all()
        return None

    with ThreadPoolExecutor(WRITERS) as pool:
        return [error for error in pool.map(one, range(WRITERS)) if error is not None]


def time_of(number: int) -> datetime:
    """The first writer's item is neither the first nor the last of the session."""
    return NOON + timedelta(minutes=(number * 7) % WRITERS)


def item(number: int, session: str = "s") -> MemoryItem:
    """A writer's item."""
    return MemoryItem(
        id=f"{session}{number}", user_id="ada", session_id=session, item_type="m", timestamp=time_of(number)
    )


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_writers_of_one_session(alias: str, known: bool) -> None:
    """Each creates one item, of a new session or of one that has a row."""
    if known:
        row = UserSession(user_id="ada", session_id="s", started_at=time_of(0), last_activity=time_of(0))
        row.metadata = {"kept": True}
        row.save(using=alias)
    assert at_once(lambda number: item(number).save(using=alias)) == []
    found = UserSession.objects.using(alias).get()
    assert MemoryItem.objects.using(alias).in_session("s").count() == WRITERS
    assert (found.started_at, found.last_activity) == (NOON, NOON + timedelta(minutes=WRITERS - 1))
    assert found.metadata == ({"kept": True} if known else {})


def test_bulk_writers_of_the_same_sessions(alias: str) -> None:
    """Each writes an item of each of three sessions, in an order of its own: no deadlock."""
    sessions = ("a", "b", "c")

    def write(number: int) -> None:
        turned = sessions[number % 3 :] + sessions[: number % 3]
        MemoryItem.objects.using(alias).bulk_create(item(number, session) for session in turned)

    assert at_once(write) == []
    rows = UserSession.objects.using(alias).order_by("session_id")
    first, last = NOON, NOON + timedelta(minutes=WRITERS - 1)
    assert [(row.session_id, row.started_at, row.last_activity) for row in rows] == [(s, first, last) for s in sessions]
