"""Sizes of rows in memory, and a budget of bytes for reads whose rows may be large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from sys import getsizeof
from typing import Any, Final, TypeVar
from uuid import UUID

T = TypeVar("T")

SCALAR: Final = 8
"""Bytes that a number, a time or null is counted as."""


PLAIN: Final = frozenset({int, float, bool, type(None), datetime, date, time, timedelta, UUID})
"""Types that are counted as `SCALAR`. Their look-up is faster than that of attributes."""


def size_of(value: Any) -> int:
    """About the bytes of a value in memory: texts, the members of lists and maps, the attributes of an instance."""
    kind = value.__class__
    if kind is str:
        return getsizeof(value)
    if kind in PLAIN:
        return SCALAR
    if kind is dict or isinstance(value, Mapping):
        size = SCALAR
        for pair in value.items():
            for one in pair:  # most members of a row are plain; a call for each took a third of a list's time
                own = one.__class__
                size += getsizeof(one) if own is str else SCALAR if own in PLAIN else size_of(one)
        return size
    if isinstance(value, str):
        return getsizeof(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    if isinstance(value, list | tuple | set | frozenset):
        return SCALAR + (SCALAR * len(value) if _is_vector(value) else sum(map(size_of, value)))
    attributes = getattr(value, "__dict__", None)
    return SCALAR if attributes is None else size_of(attributes)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], float)


class ByteBudget:
    """A number of bytes that several reads may take together. One row is always taken, whatever its size."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.is_spent = False

    def take(self, rows: Iterable[T]) -> Iterator[T]:
        """The rows until the budget is spent; the row that exceeds it is the last one."""
        if self.is_spent:
            return
        for row in rows:
            self.left -= size_of(row)
            self.is_spent = self.left < 0
            yield row
            if self.is_spent:
                return
