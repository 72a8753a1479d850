"""Iterables in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items, read from `items` only as they are asked for."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
