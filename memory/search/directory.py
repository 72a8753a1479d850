"""The directory of a user's index as a value, and the row that stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from memory.fields import WriteTime
from memory.models import SearchIndex, id_of_user
from memory.snapshots import epoch_microseconds

SECOND: Final = 1_000_000
MARGINS: Final[Mapping[str, int]] = {"firestore": 10 * SECOND, "sqlite": 2 * SECOND}
"""Microseconds by which a commit may be later than the `written` of its rows.

Firestore sets the time when it processes the commit, for which clients wait ten seconds. SQLite has one writer at a
time, so only steps of the clock matter.
"""
OTHER_MARGIN: Final = 600 * SECOND
"""Elsewhere the time is that of the statement, and its transaction may go on: docs/search.md."""


@dataclass(frozen=True)
class Listed:
    """A segment in a directory: its id, entries, bytes (`segments.weight_of`), and the rules and model that made it."""

    id: str
    items: int
    bytes: int
    rules: str
    model: str


SUMMARIES: Final = "summaries"
"""In place of the rules of a row that has summaries of segments (`summaries`). It has no items."""


@dataclass(frozen=True)
class Directory:
    """The state of a user's index.

    Every item written at or before `since` (microseconds since 1970; None: no item) is in the segments, unless it was
    deleted. `newest` is when the last of them was written, `claimed` when the packer began that is at work; 0: none.
    `summaries` are the rows with what is known of segments that a search does not read.
    """

    generation: int
    segments: tuple[Listed, ...]
    since: int | None
    newest: int
    claimed: int
    summaries: tuple[Listed, ...] = ()

    @property
    def items(self) -> int:
        """The entries of all segments."""
        return sum(segment.items for segment in self.segments)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the segments."""
        return tuple(segment.id for segment in self.segments)

    def is_settled(self) -> bool:
        """Whether no item that is in a segment is read again as one of the tail."""
        return self.since is not None and self.since >= self.newest


EMPTY: Final = Directory(0, (), None, 0, 0)


def margin(vendor: str) -> int:
    """Of a database's vendor, in microseconds."""
    return MARGINS.get(vendor, OTHER_MARGIN)


def read(user_id: str, using: str) -> Directory | None:
    """A user's directory; None if there is no index yet."""
    rows = SearchIndex.objects.using(using).filter(pk=id_of_user(user_id))
    row = next(iter(rows.values_list("generation", "segments", "since", "newest", "claimed")), None)
    if row is None:
        return None
    generation, segments, since, newest, claimed = row
    listed = [Listed(**fields) for fields in segments]
    return Directory(
        generation,
        tuple(listing for listing in listed if listing.rules != SUMMARIES),
        since,
        newest,
        0 if claimed is None else epoch_microseconds(claimed),
        tuple(listing for listing in listed if listing.rules == SUMMARIES),
    )


def create(user_id: str, using: str) -> None:
    """The row of an empty index, claimed. Raises `IntegrityError` if there is one."""
    SearchIndex.objects.using(using).create(pk=id_of_user(user_id), user_id=user_id, generation=1)


def claim(user_id: str, using: str, generation: int) -> bool:
    """Begin to pack: no packer that began before can finish. False if another one has changed the row meanwhile."""
    return _change(user_id, using, generation, claimed=WriteTime())


def replace(user_id: str, using: str, changed: Directory) -> bool:
    """Store a directory that was made of the one of its generation. False if a packer has changed the row meanwhile."""
    values: dict[str, Any] = {} if changed.claimed else {"claimed": None}
    listed = [vars(segment) for segment in (*changed.segments, *changed.summaries)]
    values |= {"segments": listed, "since": changed.since, "newest": changed.newest}
    return _change(user_id, using, changed.generation, **values)


def _change(user_id: str, using: str, generation: int, **values: Any) -> bool:
    rows = SearchIndex.objects.using(using).filter(pk=id_of_user(user_id), generation=generation)
    return bool(rows.update(generation=generation + 1, **values))
