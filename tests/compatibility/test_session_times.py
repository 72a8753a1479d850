"""Sessions on Firestore from before their times became numbers, through the migration `0006_session_times`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connections
from pytest_django import DjangoDbBlocker

from memory.models import MemoryItem, UserSession
from memory.testing import emulator
from tests import databases

from .make import raw_client

pytestmark = [
    pytest.mark.embedded,  # it brings a database with it
    pytest.mark.firestore_emulator,
]

ALIAS = "before"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
rewrite = import_module("memory.migrations.0006_session_times").rewrite
SESSIONS = import_module("memory.migrations.0006_session_times").SESSIONS_AT_ONCE + 20


def started(number: int) -> datetime:
    """Of one session; the last begins first."""
    return START - timedelta(days=number, microseconds=number)


def old_form(parent: str, number: int) -> dict[str, Any]:
    """A session's document as version 9415e01 wrote it: times are timestamps. Some have no metadata."""
    fields: dict[str, Any] = {
        "id": {"string_value": f"ada:s{number}"},
        "user_id": {"string_value": "ada"},
        "session_id": {"string_value": f"s{number}"},
        "started_at": {"timestamp_value": started(number)},
        "last_activity": {"timestamp_value": started(number) + timedelta(hours=1)},
    }
    if number % 2:
        fields["metadata"] = {"map_value": {"fields": {"n": {"integer_value": number}}}}
    return {"name": f"{parent}/user_sessions/ada:s{number}", "fields": fields}


class Stored:
    """The documents, past the engine."""

    def __init__(self, address: str, project: str) -> None:
        self.client = raw_client(address)
        self.parent = f"projects/{project}/databases/(default)/documents"
        writes = [{"update": old_form(self.parent, number)} for number in range(SESSIONS)]
        self.client.commit(request={"database": self.parent.removesuffix("/documents"), "writes": writes})

    def kinds(self) -> set[tuple[str, str]]:
        """The types of both times of all sessions."""
        found = self.client.list_documents(
            request={"parent": self.parent, "collection_id": "user_sessions", "page_size": 1000}
        )
        names = ("started_at", "last_activity")
        return {
            tuple(type(one.fields[name]).pb(one.fields[name]).WhichOneof("value_type") for name in names)
            for one in found
        }


@pytest.fixture
def before(
    firestore_emulator: str, firestore_project: str, settings: Any, django_db_blocker: DjangoDbBlocker
) -> Iterator[Stored]:
    project = f"{firestore_project}-times"
    emulator.flush(firestore_emulator, project)
    settings.MEMORY = {**settings.MEMORY, "DATABASE": ALIAS, "CACHE": None}
    stored = Stored(firestore_emulator, project)
    with django_db_blocker.unblock(), databases.firestore(ALIAS, firestore_emulator, project, timeout=60.0):
        yield stored


def migrated() -> None:
    """The data of the migration."""
    with connections[ALIAS].schema_editor() as editor:
        rewrite(apps, editor)


def test_the_migration_keeps_every_time(before: Stored) -> None:
    """To the microsecond, in more than one batch; metadata stays, and a second run changes nothing."""
    assert before.kinds() == {("timestamp_value", "timestamp_value")}
    for _ in range(2):
        migrated()
        assert before.kinds() == {("integer_value", "integer_value")}
        rows = {row.session_id: row for row in UserSession.objects.using(ALIAS)}
        assert len(rows) == SESSIONS
        for number in range(SESSIONS):
            row = rows[f"s{number}"]
            assert (row.started_at, row.last_activity) == (started(number), started(number) + timedelta(hours=1))
            assert row.metadata == ({"n": number} if number % 2 else {})


def test_old_times_are_read_before_the_migration(before: Stored) -> None:
    """By the code of today."""
    row = UserSession.objects.using(ALIAS).get(pk="ada:s3")
    assert (row.started_at, row.last_activity) == (started(3), started(3) + timedelta(hours=1))


def test_migrated_sessions_are_ordered_filtered_and_moved(before: Stored) -> None:
    """Lists are in the order of times, and items move them outwards only."""
    migrated()
    sessions = UserSession.objects.using(ALIAS).for_user("ada")
    assert [row.session_id for row in sessions.recent(3)] == ["s0", "s1", "s2"]
    assert sessions.filter(last_activity__lt=started(SESSIONS - 2) + timedelta(minutes=59)).count() == 1
    for change in (timedelta(minutes=30), timedelta(hours=2), timedelta(hours=-1)):
        MemoryItem.objects.using(ALIAS).create(
            user_id="ada", session_id="s5", item_type="m", timestamp=started(5) + change
        )
    row = sessions.get(session_id="s5")
    assert (row.started_at, row.last_activity) == (started(5) - timedelta(hours=1), started(5) + timedelta(hours=2))
    assert row.metadata == {"n": 5}
