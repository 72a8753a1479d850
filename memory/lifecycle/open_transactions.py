"""Transactions that others have open on PostgreSQL, and that may still write what an erasure has deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import connections

LONGEST_TRANSACTION: Final = timedelta(minutes=1)
"""How long an erasure waits for transactions that other writers have open."""
TOO_LONG: Final = "A transaction was open for longer than the erasure waits: verify when it has ended."


class Horizon:
    """The transactions of a PostgreSQL that have begun, with a write, until now."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.next = self._read("xmax")

    def is_passed(self) -> bool:
        """Whether all of them have ended."""
        return self._read("xmin") >= self.next

    def _read(self, bound: str) -> int:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(f"SELECT pg_snapshot_{bound}(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])
