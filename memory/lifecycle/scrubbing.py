"""What is left of deleted rows: in a database's file, and in stored copies of conversations.

SQLite leaves the bytes of deleted rows in free pages until these are used again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, connections

from memory.backends import clock
from memory.batches import batches

from ..breaker import KEYS_AT_ONCE, literal
from ..coherence import redis_cache_of
from ..conf import memory_settings
from ..contention import LONGEST_TURN, in_transaction, is_contention
from ..models import UserSession
from ..snapshots import HISTORY_KEY

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


def forget_snapshots(user_id: str) -> int:
    """Delete the conversations of a person that a `RedisClient` stored in `MEMORY["CACHE"]`. Returns how many.

    Raises `memory.breaker.Unavailable`. A Redis that a client has by its host is not reached.
    """
    cache = redis_cache_of(memory_settings.cache)
    if cache is None:
        return 0
    from ..redis import breaker_of, raw_client  # slow to import, and not used without a cache

    client, place = raw_client(cache), str(cache.make_key(HISTORY_KEY))
    start = f"{place}{UserSession.make_id(user_id, '')}".encode()

    def drop() -> int:
        keys = map(bytes, client.scan_iter(match=f"{literal(place)}*", count=KEYS_AT_ONCE))
        found = [key for key in keys if key.startswith(start)]
        for some in batches(found, KEYS_AT_ONCE):
            client.execute_command("UNLINK", *some)
        return len(found)

    return breaker_of(client).call(drop, timed=False)
