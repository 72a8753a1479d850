"""Commits a unit of work, and repeats its statements on contention, if they are repeatable.

`atomic()` cannot run its block again. But the engine can repeat an upsert (`bulk_create(update_conflicts=True)`) that
is a transaction of its own, since no other code depends on what it read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ..errors import Contention
from ..values.backoff import Backoff
from .retry import FIRST_PAUSE, LONGEST_PAUSE
from .unit_of_work import UnitOfWork

ATTEMPTS: Final = 20
"""With several writers of a row, one succeeds per round of attempts, and the pauses between rounds increase."""


def commit(unit: UnitOfWork, begin: Callable[[], UnitOfWork]) -> None:
    """Commits a unit of work. `begin` starts and returns a new one for each retry.

    Raises `Contention` if all attempts fail with it, or if the unit contains statements that are not repeatable.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    for _ in range(ATTEMPTS - 1):
        try:
            unit.commit()
        except Contention:
            if not unit.repeatable:
                raise
        else:
            return
        time.sleep(backoff.next_pause())
        statements = unit.repeatable
        unit.rollback()
        unit = begin()
        unit.run_repeatable(*statements)
    unit.commit()
