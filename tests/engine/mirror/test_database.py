"""The lifetime of a connection's in-memory SQLite database."""

from __future__ import annotations

import gc
import sqlite3
import threading
from typing import Any

import pytest
from django.db import connection

from tests.engine.app.models import Note


@pytest.mark.django_db(transaction=True)
def test_the_mirror_is_closed_when_its_thread_ends() -> None:
    """So that it is not left to SQLite's finalizer, which issues a warning."""
    seen: list[Any] = []

    def count() -> None:
        try:
            list(Note.objects.filter(text__icontains="x"))
            seen.append(connection.mirror.connection.connection)
        finally:
            connection.close()

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")
