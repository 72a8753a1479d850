"""The order of a conversation with branches: pure functions.

An entry that PydanticAI stored names the one before it. Messages that others wrote into the session do not: each
follows what is before it in time. Entries may be gone, since each is an item that can be deleted or expire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """An entry or a message of others (`place` -1). `place` counts the entries before it in its line."""

    id: str
    parent: str | None = None
    place: int = -1

    @property
    def is_entry(self) -> bool:
        """Whether PydanticAI stored it."""
        return self.place >= 0


def line_of(nodes: Sequence[Node], head: str | None, is_whole: bool = True) -> list[int]:
    """The indexes of the nodes from the first one to `head`, in order. `nodes` are in the order of their times.

    Messages of others are in it after the entry that they follow. If `nodes` are only the newest ones, so is the line.
    """
    places = {node.id: index for index, node in enumerate(nodes)}
    at = places.get(head or "")
    if at is None and head is not None and is_whole:
        at = _last_entry(nodes, len(nodes))  # the head is gone
    found: list[int] = []
    if at is not None and nodes[at].is_entry:
        found.extend(_others_after(nodes, at))
    while at is not None:
        found.append(at)
        before = _before(nodes, places, at, is_whole)
        if nodes[at].is_entry and before is not None and nodes[before].is_entry:
            found.extend(_others_after(nodes, before))
        if nodes[at].is_entry and before is None and is_whole:
            found.extend(_others_before(nodes, at))
        at = before
    return sorted(set(found))


def _before(nodes: Sequence[Node], places: Mapping[str, int], at: int, is_whole: bool) -> int | None:
    """The index of what comes before a node in its line."""
    node = nodes[at]
    if not node.is_entry:
        return at - 1 if at else None
    before = places.get(node.parent or "")
    if before is None and node.parent is not None and is_whole:
        return _last_entry(nodes, at, node.place - 1)  # the parent is gone, whose own has a lower place than it had
    return before


def _last_entry(nodes: Sequence[Node], end: int, below: int | None = None) -> int | None:
    """The last entry before an index, of those whose place is below another."""
    fitting = (
        index
        for index in range(end - 1, -1, -1)
        if nodes[index].is_entry and (below is None or nodes[index].place < below)
    )
    return next(fitting, None)


def _others_after(nodes: Sequence[Node], at: int) -> Iterator[int]:
    for index in range(at + 1, len(nodes)):
        if nodes[index].is_entry:
            return
        yield index


def _others_before(nodes: Sequence[Node], at: int) -> Iterator[int]:
    for index in range(at - 1, -1, -1):
        if nodes[index].is_entry:
            return
        yield index
