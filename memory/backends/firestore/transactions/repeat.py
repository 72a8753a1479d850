"""The commit of a unit of work, whose statements are run again where that met contention, if they are repeatable.

`atomic()` cannot run its block again, but of an upsert (`bulk_create(update_conflicts=True)`) that is a transaction of
its own the engine knows all that it does, and nobody else has seen what it read.
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
"""Each round of those who want one row lets one of them pass, and the pauses between them grow."""


def commit(unit: UnitOfWork, begin: Callable[[], UnitOfWork]) -> None:
    """Commit a unit of work; `begin` makes another one for each further attempt, and takes its place.

    Raises `Contention` if all attempts met it, or if the unit holds anything that cannot be run again.
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
