"""Sizes of rows in memory, and a budget of bytes for reads whose rows may be large."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from sys import getsizeof
from typing import Any, Final, TypeVar
from uuid import UUID

T = TypeVar("T")

SCALAR: Final = 8
"""Bytes that a number, a time or null is counted as."""


PLAIN: Final[frozenset[type]] = frozenset({int, float, bool, type(None), datetime, date, time, timedelta, UUID})
"""Types that are counted as `SCALAR`."""

CONTAINERS: Final[frozenset[type]] = frozenset({dict, list, tuple})
"""Types that are counted as `SCALAR` if they are empty."""


def size_of(value: Any) -> int:
    """About the bytes of a value in memory: texts, the members of lists and maps, the attributes of an instance."""
    return _sizer(value.__class__)(value)


def _scalar_size(value: Any) -> int:
    return SCALAR


def _map_size(value: Mapping[Any, Any]) -> int:
    return _sum_of_sizes(value) + _sum_of_sizes(value.values()) - SCALAR


def _sum_of_sizes(values: Iterable[Any]) -> int:
    size = SCALAR
    for one in values:  # most are plain; a call for each took a third of a list's time
        own = one.__class__
        if own is str:
            size += getsizeof(one)
        elif own in PLAIN or (own in CONTAINERS and not one):
            size += SCALAR
        else:
            size += _sizer(own)(one)
    return size


def _list_size(value: Collection[Any]) -> int:
    is_vector = value and isinstance(value, list | tuple) and isinstance(value[0], float)
    return SCALAR * (1 + len(value)) if is_vector else _sum_of_sizes(value)


def _instance_size(value: Any) -> int:
    attributes = getattr(value, "__dict__", None)
    return SCALAR if attributes is None else _sum_of_sizes(attributes.values())  # the names are those of all instances


_SIZERS: Final[tuple[tuple[tuple[type, ...], Callable[[Any], int]], ...]] = (
    (tuple(PLAIN), _scalar_size),
    ((str,), getsizeof),
    ((bytes, bytearray, memoryview), len),
    ((Mapping,), _map_size),
    ((list, tuple, set, frozenset), _list_size),
)


@lru_cache(maxsize=256)
def _sizer(kind: type) -> Callable[[Any], int]:
    """The function for values of a type: that of the first base."""
    return next((sizer for bases, sizer in _SIZERS if issubclass(kind, bases)), _instance_size)


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
