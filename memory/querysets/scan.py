"""Conditions that are evaluated in Python, over records that the database returns in order.

Firestore needs an index for each key of a map that a query filters by and orders. Instead, the records that pass the
other filters are read in order, and those that match are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.db import NotSupportedError, connections

if TYPE_CHECKING:
    from django.db.models import QuerySet

Matches = Callable[[Any], bool]

CHUNK_SIZE: Final = 10
"""Records that are read at once; each may have 1 MiB."""
MOST_SCANNED: Final = 5_000
"""Records that a scan reads before it gives up."""


def needs_scan(using: str) -> bool:
    """Whether conditions on keys of maps are evaluated in Python on this database."""
    return bool(connections[using].vendor == "firestore")


def scan(records: QuerySet[Any], matches: Matches, count: int) -> list[Any]:
    """The first `count` records that match. Raises `NotSupportedError` above `MOST_SCANNED` records."""
    found: list[Any] = []
    for position, record in enumerate(streamed(records), 1):
        if matches(record):
            found.append(record)
        if len(found) == count:
            break
        if position == MOST_SCANNED:
            raise NotSupportedError(
                f"The newest {MOST_SCANNED} records have too few with this key or value: add a filter by session, type "
                "or time."
            )
    return found


def streamed(records: QuerySet[Any]) -> Iterator[Any]:
    """The records, read as they are asked for."""
    return iter(records.iterator(chunk_size=CHUNK_SIZE))


def has_member(value: Any, key: str) -> bool:
    """Whether a map has a key."""
    return isinstance(value, dict) and key in value


def same_value(one: object, other: object) -> bool:
    """Whether two JSON scalars are equal, by type: 5 is not "5", and true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
