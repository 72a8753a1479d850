"""Commits a unit of work, and repeats its statements on contention, if they are repeatable.

`atomic()` cannot run its block again. But the engine can repeat an upsert (`bulk_create(update_conflicts=True)`) that
is a transaction of its own, since no other code depends on what it read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .retry import retry_on_contention
from .unit_of_work import Statement, UnitOfWork

ATTEMPTS: Final = 20
"""With several writers of a row, one succeeds per round of attempts, and the pauses between rounds increase."""


def commit(unit: UnitOfWork, begin: Callable[[], UnitOfWork]) -> None:
    """Commits a unit of work. `begin` starts and returns a new one for each retry.

    Raises `Contention` if all attempts fail with it, or if the unit contains statements that are not repeatable.
    """
    statements: Sequence[Statement] = ()

    def attempt(number: int) -> None:
        nonlocal unit
        if number:
            unit.rollback()
            unit = begin()
            unit.run_repeatable(*statements)
        unit.commit()

    def may_retry() -> bool:
        nonlocal statements
        statements = statements or unit.repeatable
        return bool(statements)

    retry_on_contention(attempt, ATTEMPTS, may_retry)
