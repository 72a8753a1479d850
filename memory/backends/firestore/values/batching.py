"""Things in pieces."""

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


def linked(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The numbers below `count` in sets that are linked, directly or not."""
    sets = {i: [i] for i in range(count)}
    for one, other in links:
        large, small = sorted((sets[one], sets[other]), key=len, reverse=True)
        if large is not small:
            large.extend(small)
            sets.update(dict.fromkeys(small, large))
    return [members for i, members in sets.items() if members[0] == i]
