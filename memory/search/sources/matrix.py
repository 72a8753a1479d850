"""The vectors of one user's items in memory, for SQLite. They are kept between searches and updated before each.

Every item with a vector has a row in `memory_item_vectors`, whose `seq` grows with each change in the order of commits.
New rows have higher numbers than all known ones, and deleted rows change the count. So one COUNT and MAX detects
changes, by any process. Rows that an open transaction sees are kept only when it commits, since it may be rolled back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from numpy.typing import NDArray

from memory.fields import COMPACT
from memory.search.embedders import Vectors

from .side_tables import VECTORS

Numbers: TypeAlias = NDArray[np.int64]
Key: TypeAlias = tuple[str, str, str]
State: TypeAlias = tuple[object, int, int, int, int]

ROWS_AT_ONCE: Final = 5_000
MAX_BYTES: Final = 512 * 1024 * 1024
"""The limit for all users' vectors of a process. Those searched least recently are dropped first."""

_COUNT = f"SELECT COUNT(*), MAX(seq) FROM {VECTORS} WHERE user_id = %s AND model = %s"  # noqa: S608
_NUMBERS = f"SELECT seq FROM {VECTORS} WHERE user_id = %s AND model = %s ORDER BY seq"  # noqa: S608
_ROWS = f"""SELECT listed.seq, items.id, items.text_embedding FROM {VECTORS} AS listed
    CROSS JOIN memory_items AS items ON items.id = listed.item_id
    WHERE listed.user_id = %s AND listed.model = %s AND listed.seq > %s ORDER BY listed.seq"""  # noqa: S608


@dataclass(frozen=True)
class Matrix:
    """Per row: `seq`, item id, vector. `room` is an array with spare rows, shared with older matrices."""

    numbers: Numbers
    ids: tuple[str, ...]
    vectors: Vectors
    room: Vectors

    @property
    def last(self) -> int:
        """The highest `seq`; 0 without rows."""
        return int(self.numbers[-1]) if len(self.numbers) else 0


def nothing(dimension: int) -> Matrix:
    """A matrix without rows."""
    empty = np.zeros((0, dimension), np.float32)
    return Matrix(np.zeros(0, np.int64), (), empty, empty)


class Matrices:
    """The matrices of a process."""

    def __init__(self) -> None:
        self._held: OrderedDict[Key, Matrix] = OrderedDict()
        self._lock = threading.RLock()
        # By connection and key, the state in which the connection saw that the matrix is up to date.
        self._seen: WeakKeyDictionary[BaseDatabaseWrapper, dict[Key, State]] = WeakKeyDictionary()

    def current(self, using: str, user_id: str, model: str, dimension: int) -> Matrix:
        """The vectors of the database, as the connection `using` sees them."""
        connection = connections[using]
        key = (str(connection.settings_dict["NAME"]), user_id, model)
        state = _state(connection)
        with self._lock:
            seen = self._seen.setdefault(connection, {})
            held = self._held.get(key) or nothing(dimension)
            if state is not None and seen.get(key) == (*state, held.last, len(held.ids)):
                return held
            found = _brought_up_to_date(connection, held, user_id, model, keep=state is not None)
            if state is not None:
                self._keep(key, found)
                seen[key] = (*state, found.last, len(found.ids))
        if state is None and found is not held:
            connection.on_commit(lambda: self._keep_newer(key, found))
        return found

    def clear(self, **kwargs: Any) -> None:
        """Drop all matrices. Receiver of `post_migrate`, after which numbers may restart."""
        with self._lock:
            self._held.clear()

    def _keep_newer(self, key: Key, found: Matrix) -> None:
        with self._lock:
            held = self._held.get(key)
            if held is None or found.last > held.last:
                self._keep(key, found)

    def _keep(self, key: Key, found: Matrix) -> None:
        self._held[key] = found
        self._held.move_to_end(key)
        self._make_room()

    def _make_room(self) -> None:
        while len(self._held) > 1 and sum(matrix.room.nbytes for matrix in self._held.values()) > MAX_BYTES:
            self._held.popitem(last=False)


def _state(connection: Any) -> tuple[object, int, int] | None:
    """A value that changes with every write to the database, by any connection; None inside a transaction.

    SQLite counts per connection: the counts of a new connection start again.
    """
    if connection.in_atomic_block:
        return None
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return connection.connection, int(cursor.fetchone()[0]), int(connection.connection.total_changes)


def _brought_up_to_date(connection: Any, held: Matrix, user_id: str, model: str, keep: bool) -> Matrix:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, (user_id, model))
        count, last = cursor.fetchone()
        if (count, last or 0) == (len(held.ids), held.last):
            return held
        if (last or 0) > held.last:
            cursor.execute(_ROWS, (user_id, model, held.last))
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                held = _with_rows(held, rows, in_place=keep)
        if count != len(held.ids):
            cursor.execute(_NUMBERS, (user_id, model))
            held = _only(held, np.array([number for (number,) in cursor.fetchall()], np.int64))
    return held


def _with_rows(held: Matrix, rows: list[tuple[int, str, bytes]], in_place: bool) -> Matrix:
    """The matrix with more rows. Only a matrix that is kept may write behind the last row of the shared array."""
    dimension = held.vectors.shape[1]
    rows = [row for row in rows if len(row[2]) == size_of(dimension)]
    packed = np.frombuffer(b"".join(row[2] for row in rows), np.uint8).reshape(len(rows), size_of(dimension))
    new = np.ascontiguousarray(packed[:, len(COMPACT) :]).view("<f4")
    size, wanted = len(held.ids), len(held.ids) + len(rows)
    room = held.room
    if not in_place or len(room) < wanted:
        room = np.zeros((wanted + wanted // 4 + 64, dimension), np.float32)
        room[:size] = held.vectors
    room[size:wanted] = new
    numbers = np.concatenate([held.numbers, np.array([row[0] for row in rows], np.int64)])
    return Matrix(numbers, (*held.ids, *(row[1] for row in rows)), room[:wanted], room)


def size_of(dimension: int) -> int:
    """Bytes of a stored vector of this dimension."""
    return len(COMPACT) + 4 * dimension


def _only(held: Matrix, numbers: Numbers) -> Matrix:
    """The rows with these numbers, in a new array."""
    kept = np.isin(held.numbers, numbers)
    vectors = held.vectors[kept]
    ids = tuple(name for name, is_kept in zip(held.ids, kept.tolist(), strict=True) if is_kept)
    return Matrix(held.numbers[kept], ids, vectors, vectors)


matrices = Matrices()
