"""What a database file keeps of deleted rows. SQLite leaves their bytes in free pages until these are used again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, connections

from memory.backends import clock

from ..contention import LONGEST_TURN, in_transaction, is_contention

logger = logging.getLogger(__name__)

NOTES: Final = {
    "postgresql": "PostgreSQL keeps deleted rows in its files until VACUUM and in its write-ahead log.",
    "mysql": "The server keeps deleted rows in its logs for a while.",
    "oracle": "The server keeps deleted rows in its logs for a while.",
    "firestore": "Point-in-time recovery and backups keep deleted documents for as long as they are configured.",
}


@contextmanager
def secure_deletion(using: str) -> Iterator[None]:
    """Inside, SQLite overwrites what this connection deletes with zeros."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        yield
        return
    before = _pragma(connection, "secure_delete")
    _pragma(connection, "secure_delete=ON")
    try:
        yield
    finally:
        _pragma(connection, f"secure_delete={before}")


def scrub(using: str) -> list[str]:
    """Remove what deleted rows have left in the files of an SQLite database. Returns notes on what may remain."""
    connection: Any = connections[using]
    if connection.vendor != "sqlite":
        return [NOTES[connection.vendor]] if connection.vendor in NOTES else []
    if connection.is_in_memory_db():
        return []
    if in_transaction(connection):
        return ["The SQLite file was not vacuumed, inside a transaction."]
    until = clock.monotonic() + LONGEST_TURN
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                busy, *_ = cursor.fetchone()
        except OperationalError as error:
            if not is_contention(error):
                raise
            busy = 1
        if not busy:
            return []
        if clock.monotonic() > until:
            logger.warning("An SQLite file was not vacuumed after an erasure: other connections kept it busy.")
            return ["The SQLite file was not vacuumed: other connections kept it busy. Run VACUUM."]


def _pragma(connection: Any, text: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {text}")
        row = cursor.fetchone()
    return row[0] if row else None
