"""Batches of items, and connected components of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items. `items` is consumed lazily."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def connected_components(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of a graph whose nodes are `range(count)` and whose edges are `links`."""
    component_of = {i: [i] for i in range(count)}
    for first, second in links:
        large, small = sorted((component_of[first], component_of[second]), key=len, reverse=True)
        if large is not small:
            large.extend(small)
            component_of.update(dict.fromkeys(small, large))
    return [members for i, members in component_of.items() if members[0] == i]
