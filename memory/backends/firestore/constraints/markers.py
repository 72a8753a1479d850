"""Marker writes of a statement: markers to create, move and delete with its rows (`definitions.py`).

A row's document and its markers are written as one group, so that no reader sees one without the other. An insert
creates both and needs no read: an existing marker fails the group. Updates and deletes use the versions of the row and
the markers as preconditions, and delete a marker only if the row owns it. If rows of one statement exchange values, the
markers get new owners in the same commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import IntegrityError

from ..connection import Connection
from ..query.lowering import column_ref
from ..query.plan import Change, Create, Delete, Get, Group, Update, Write
from ..values.auto_ids import random_token
from ..values.batching import connected_components
from ..values.marker_collections import marker_collection
from ..values.types import DOCUMENT_ID, VERSION, Ref
from . import evaluate
from .definitions import COLUMNS, OWNER, Check, Key, Row, checks, unique_keys


@dataclass(frozen=True, slots=True)
class Marker:
    """A stored marker: its row's document id, and its version (None in a transaction, which locks it)."""

    owner: str
    version: Any


@dataclass
class Exchange:
    """The markers that a statement's rows release and claim, with the positions of the rows."""

    released: dict[str, int] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)


class Markers:
    """The markers of one model's table."""

    def __init__(self, connection: Connection, model: Any) -> None:
        self.connection = connection
        self.keys = unique_keys(model)
        self.checks = checks(model)
        self.table = str(model._meta.db_table)
        self.collection = marker_collection(self.table)

    # --- constraints, columns and stored markers

    def affected(self, columns: Iterable[str]) -> tuple[Key, ...]:
        """The constraints that a write of these columns can affect."""
        written = set(columns)
        return tuple(key for key in (*self.keys, *self.checks) if not key.columns.isdisjoint(written))

    def columns(self, keys: Sequence[Key]) -> tuple[Ref, ...]:
        """The columns of a row that determine its markers."""
        return tuple(dict.fromkeys(column_ref(field, self.connection) for key in keys for field in key.reads))

    def stored(self, ids: Iterable[str]) -> dict[str, Marker]:
        """The existing markers among `ids`."""
        names = tuple(dict.fromkeys(ids))
        if not names:
            return {}
        found = self.connection.plan_cursor().run(Get(self.collection, names, (DOCUMENT_ID, OWNER, VERSION)))
        return {id: Marker(owner, version if self.connection.unit is None else None) for id, owner, version in found}

    # --- writes with their markers

    def inserted(self, writes: Sequence[Create]) -> list[Change]:
        """New rows, each with its markers."""
        if not (self.keys or self.checks):
            return list(writes)
        rows = [dict(_written(write)) for write in writes]
        self.enforce_checks(self.checks, rows)
        nonce = random_token()
        return [
            _group(write, [self._create_marker(id, key, write.id, nonce) for id, key in needed.items()])
            for write, needed in zip(writes, evaluate.markers(self.connection, self.keys, rows), strict=True)
        ]

    def enforce_checks(self, wanted: Sequence[Check], rows: Sequence[Row]) -> None:
        """Raises IntegrityError if a row violates a check constraint."""
        for position, check in evaluate.violated_checks(self.connection, wanted, rows):
            raise IntegrityError(f"{check.message} for row {position + 1} of the statement; nothing was written")

    def deleted(self, writes: Sequence[Delete], before: Sequence[Row]) -> list[Change]:
        """Rows to delete, with the markers that they own. `before` are their stored values."""
        held = evaluate.markers(self.connection, self.keys, before)
        stored = self.stored(id for markers in held for id in markers)
        return [
            _group(write, [self._delete_marker(id, stored[id]) for id in markers if owns(stored.get(id), write.id)])
            for write, markers in zip(writes, held, strict=True)
        ]

    def updated(self, keys: Sequence[Key], writes: Sequence[Update], before: Sequence[Row]) -> list[Change]:
        """Rows to update, with the changes of their markers. `before` are their stored values.

        Raises IntegrityError if a row would get unique values of another row, or violate a check.
        """
        watched = frozenset[str]().union(*(key.columns for key in keys))
        writes = [_with_computed_increments(write, row, watched) for write, row in zip(writes, before, strict=True)]
        after = [{**row, **dict(_written(write))} for write, row in zip(writes, before, strict=True)]
        self.enforce_checks([key for key in keys if isinstance(key, Check)], after)
        keys = [key for key in keys if not isinstance(key, Check)]
        held = evaluate.markers(self.connection, keys, [*before, *after])
        held, needed = held[: len(writes)], held[len(writes) :]
        wanted = [id for old, new in zip(held, needed, strict=True) for id in old.keys() ^ new.keys()]
        stored = self.stored(wanted)
        exchange = Exchange()
        for place, (write, old, new) in enumerate(zip(writes, held, needed, strict=True)):
            for id in old.keys() - new.keys():
                if owns(stored.get(id), write.id):
                    exchange.released[id] = place
            for id in new.keys() - old.keys():
                if id in exchange.claimed:
                    raise_duplicate(new[id])
                if not owns(stored.get(id), write.id):
                    exchange.claimed[id] = place
        for id, place in exchange.claimed.items():
            if id in stored and id not in exchange.released:
                raise_duplicate(needed[place][id])
        return self._grouped(writes, needed, exchange, stored)

    def _grouped(
        self,
        writes: Sequence[Update],
        needed: Sequence[Mapping[str, Key]],
        exchange: Exchange,
        stored: Mapping[str, Marker],
    ) -> list[Change]:
        """Groups of writes: rows that exchange values are in one group, every other row in its own."""
        nonce = random_token()
        moves: list[list[Write]] = [[] for _ in writes]
        links: list[tuple[int, int]] = []
        for id, place in exchange.claimed.items():
            releaser = exchange.released.get(id)
            if releaser is None:
                moves[place].append(self._create_marker(id, needed[place][id], writes[place].id, nonce))
            else:
                owner = writes[place].id
                moves[place].append(Update(self.collection, id, (OWNER,), (owner,), version=stored[id].version))
                links.append((releaser, place))
        for id, place in exchange.released.items():
            if id not in exchange.claimed:
                moves[place].append(self._delete_marker(id, stored[id]))
        return [
            Group(tuple(writes[i] for i in places), tuple(move for i in places for move in moves[i]))
            if len(places) > 1
            else _group(writes[places[0]], moves[places[0]])
            for places in connected_components(len(writes), links)
        ]

    def _create_marker(self, id: str, key: Key, owner: str, nonce: str) -> Create:
        return Create(self.collection, id, COLUMNS, (owner, key.name, nonce), key.message)

    def _delete_marker(self, id: str, marker: Marker) -> Delete:
        return Delete(self.collection, id, must_exist=marker.version is None, version=marker.version)


def owns(marker: Marker | None, row: str) -> bool:
    """Whether a marker exists and belongs to a row."""
    return marker is not None and marker.owner == row


def raise_duplicate(key: Key) -> None:
    """Raises IntegrityError with SQLite's message."""
    raise IntegrityError(f"{key.message}; another row has the same values, nothing was written")


def by_column(columns: Sequence[Ref], values: Sequence[Any]) -> dict[str, Any]:
    """A row's values by column."""
    return {ref.path[0]: value for ref, value in zip(columns, values, strict=True)}


def _group(row: Write, markers: Sequence[Write]) -> Change:
    return Group((row,), tuple(markers)) if markers else row


def _written(write: Create | Update) -> Iterable[tuple[str, Any]]:
    return ((ref.path[0], value) for ref, value in zip(write.columns, write.values, strict=True))


def _with_computed_increments(write: Update, row: Row, watched: frozenset[str]) -> Update:
    """The update with increments of unique columns replaced by their results."""
    sums = [(ref, row[ref.path[0]] + more) for ref, more in write.increments if ref.path[0] in watched]
    if not sums:
        return write
    return replace(
        write,
        columns=(*write.columns, *(ref for ref, _ in sums)),
        values=(*write.values, *(value for _, value in sums)),
        increments=tuple((ref, more) for ref, more in write.increments if ref.path[0] not in watched),
    )
