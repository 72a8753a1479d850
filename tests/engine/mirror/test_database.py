"""The SQLite behind a connection: whose it is, and when it ends."""

from __future__ import annotations

import gc
import sqlite3
import threading
from typing import Any

import pytest
from django.db import connection

from tests.engine.app.models import Note


@pytest.mark.django_db(transaction=True)
def test_a_copy_is_closed_when_its_thread_ends() -> None:
    """Threads of a server come and go: their copies must not wait for SQLite's own finaliser, which warns."""
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
