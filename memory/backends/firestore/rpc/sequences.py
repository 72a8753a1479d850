"""Ids from 1: a counter document per table, from which each process takes blocks of ids.

Ids increase within a process. Processes take different blocks, so ids of one process may be lower than earlier ids of
another, and the rest of a block is lost when a process ends. Rolled-back inserts leave gaps, as with PostgreSQL's
sequences.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from django.db import OperationalError

from ..query.plan import Create, Increments, Outcome, Update
from ..values.document_ids import document_id
from ..values.marker_collections import SEQUENCES
from ..values.types import Kind, Ref
from .channel import Target
from .executor import Executor

LAST: Final = Ref(("last",), Kind.INTEGER)
"""A counter's column: the last id that was taken. The document's id is that of the table's name."""

BLOCK: Final = 20
"""Ids that a process takes at once, at least."""

ATTEMPTS: Final = 5

Name: TypeAlias = tuple[int, Target, str]


@dataclass
class Block:
    """The ids that a process has taken from a counter: those after `used`, up to `last`."""

    used: int = 0
    last: int = 0


_blocks: dict[Name, Block] = {}
_lock = threading.RLock()


def take(executor: Executor, table: str, count: int) -> list[int]:
    """New ids for rows of a table, in ascending order."""
    with _lock:
        block = _block(executor, table)
        ids = list(range(block.used + 1, min(block.last, block.used + count) + 1))
        if missing := count - len(ids):
            size = max(BLOCK, missing)
            block.last = _advance(executor, table, size)
            ids += range(block.last - size + 1, block.last - size + 1 + missing)
        block.used = ids[-1]
        return ids


def pass_over(executor: Executor, table: str, id: int) -> None:
    """Makes later ids of a table higher than one that a row was given."""
    with _lock:
        block = _block(executor, table)
        if id > block.last:
            # The counter may be beyond our block, so the id is at most what an addition of the difference makes it.
            block.used = block.last = _advance(executor, table, id - block.last)
        block.used = max(block.used, id)


def forget(target: Target, tables: Collection[str] | None = None) -> None:
    """Forgets the blocks of tables whose counters were deleted: all of a database by default."""
    with _lock:
        for name in [name for name in _blocks if name[1] == target and (tables is None or name[2] in tables)]:
            del _blocks[name]


def counter_id(table: str) -> str:
    """The id of a table's counter document."""
    return document_id(table, Kind.TEXT)


def _block(executor: Executor, table: str) -> Block:
    return _blocks.setdefault((os.getpid(), executor.target, table), Block())


def _advance(executor: Executor, table: str, size: int) -> int:
    """The counter's value after an addition. If a response is lost, ids are skipped."""
    id = counter_id(table)
    for _ in range(ATTEMPTS):
        added: Increments = {}
        [outcome] = executor.commit([Update(SEQUENCES, id, increments=((LAST, size),))], isolate=True, increments=added)
        if (SEQUENCES, id) in added:
            return int(added[SEQUENCES, id][LAST.path[0]])
        if outcome is Outcome.MISSING:
            [outcome] = executor.commit([Create(SEQUENCES, id, (LAST,), (size,))], isolate=True)
            if outcome is Outcome.APPLIED:
                return size
    raise OperationalError(f"no ids for {table!r}: the counter could not be advanced in {ATTEMPTS} attempts")


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)
