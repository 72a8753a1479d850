"""What processes have acknowledged, in memory that they share: a row for each item, written by one process only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOREVER = 2**62
PLACES = 1024  # an item's place: 0 where it is in no conversation, else one more than the conversation's number
BEGUN, ACKED, ACKED_AT, HIDDEN_UNTIL = range(4)


def now() -> int:
    """Milliseconds, the same for all processes of the machine."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True)
class State:
    """One version of an item: where it is since."""

    version: int
    place: int

    @classmethod
    def of(cls, number: int) -> State:
        """From the ledger's cell."""
        return cls(*divmod(int(number), PLACES))

    @property
    def number(self) -> int:
        """For the ledger's cell."""
        return self.version * PLACES + self.place


class Ledger:
    """A file of 64-bit cells: `items` rows, and one more whose first cell is the time of the last fault."""

    def __init__(self, path: Path, items: int, create: bool = False) -> None:
        self.cells = np.memmap(path, dtype=np.int64, mode="w+" if create else "r+", shape=(items + 1, 4))

    def snapshot(self) -> np.ndarray:
        """A copy of all cells."""
        return np.array(self.cells)

    def note_fault(self) -> None:
        """Redis is being disturbed now."""
        self.cells[-1, 0] = now()

    @property
    def last_fault(self) -> int:
        """When it was last."""
        return int(self.cells[-1, 0])


def complaint(
    conversation: int, read: dict[int, int], before: np.ndarray, after: np.ndarray, begun_at: int, ttl: float
) -> tuple[list[str], list[int]]:
    """What is wrong with a read; and of the items in it that were behind while a partition excused that, for how long.

    `read`: versions by item's row. `before` and `after`: the ledger around the read. `ttl` in seconds, the rest in
    milliseconds.
    """
    wrong: list[str] = []
    excused: list[int] = []
    for row in range(len(before) - 1):
        acked, begun = State.of(before[row, ACKED]), State.of(after[row, BEGUN])
        seen = read.get(row)
        problem = _problem(conversation + 1, seen, acked, begun)
        if problem is None:
            continue
        hidden = before[row, HIDDEN_UNTIL] > begun_at or after[row, HIDDEN_UNTIL] > begun_at
        behind = begun_at - before[row, ACKED_AT]
        if hidden and behind < ttl * 1000 + 1500:
            excused.append(int(behind))
        else:
            wrong.append(
                f"conversation {conversation}, item {row}: {problem}; acknowledged {behind} ms before, {hidden=}"
            )
    return wrong, excused


def _problem(place: int, seen: int | None, acked: State, begun: State) -> str | None:
    if seen is None:
        missing = acked.place == place and begun == acked
        return f"version {acked.version} is missing" if missing else None
    if seen < acked.version:
        return f"version {seen} was read, {acked.version} was acknowledged"
    if seen > begun.version:
        return f"version {seen} was read, {begun.version} is the newest"
    if begun == acked and acked.place != place:
        return f"version {seen} was read here, but belongs elsewhere"
    return None
