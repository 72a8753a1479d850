"""`bulk_create(update_conflicts=True)`: rows that conflict with existing rows on unique fields update those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, OperationalError

from ..connection import Connection
from ..constraints.definitions import Key, is_marked
from ..constraints.markers import Markers, by_column
from ..query.lowering import key_fields
from ..query.plan import Change, Create, Get, Outcome, Update, parts
from ..values.types import DOCUMENT_ID


@dataclass(frozen=True, slots=True)
class Upsert:
    """An INSERT ... ON CONFLICT DO UPDATE. Its query has the unique fields and the fields to update."""

    connection: Connection
    query: Any
    markers: Markers
    updated: dict[int, str] = field(default_factory=dict)
    """Of the last run: the document ids of existing rows, by the position of the row in conflict with them."""

    def run(self, writes: Sequence[Create]) -> None:
        """Creates rows, or updates existing ones."""
        self.updated.clear()
        key = self.conflict_key()
        changes = self.markers.inserted(writes)
        outcomes = self.connection.plan_cursor().commit(changes, isolate=True)
        refused = [i for i, outcome in enumerate(outcomes) if outcome is Outcome.EXISTS]
        if not refused:
            return
        owners = self.owners(key, [changes[i] for i in refused])
        self.updated.update(zip(refused, owners, strict=True))
        names = {field.column for field in self.query.update_fields}
        updates = {}
        for write, owner in zip([writes[i] for i in refused], owners, strict=True):
            kept = [i for i, ref in enumerate(write.columns) if ref.path[0] in names]
            columns, values = (tuple(part[i] for i in kept) for part in (write.columns, write.values))
            updates[owner] = Update(write.collection, owner, columns, values)
        self.update_existing(updates)

    def conflict_key(self) -> Key | None:
        """The constraint of the unique fields; None for the primary key."""
        meta = self.query.get_meta()
        wanted = {field.column for field in self.query.unique_fields}
        if wanted == {field.column for field in key_fields(meta.model)} and not is_marked(meta.pk):
            return None
        for key in self.markers.keys:
            if not key.condition and {field.column for field in key.fields} == wanted:
                return key
        raise OperationalError(
            "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint: the unique_fields of bulk_create "
            f"are {sorted(wanted)}, and {meta.db_table!r} has no unconditional constraint on them."
        )

    def owners(self, key: Key | None, changes: Sequence[Change]) -> list[str]:
        """The document ids of the existing rows in conflict with `changes`.

        Raises IntegrityError for a conflict with another constraint than `key`.
        """
        wanted = []
        for change in changes:
            [row, *markers] = parts(change)
            claims = {marker.values[1]: marker for marker in markers if isinstance(marker, Create)}
            wanted.append(row if key is None else claims.get(key.name))
        ids = [claim.id for claim in wanted if claim is not None]
        if key is None:
            table = self.query.get_meta().db_table
            found = {id: id for (id,) in self.connection.plan_cursor().run(Get(table, tuple(ids), (DOCUMENT_ID,)))}
        else:
            found = {id: marker.owner for id, marker in self.markers.stored(ids).items()}
        for claim, change in zip(wanted, changes, strict=True):
            if claim is None or claim.id not in found:
                others = [part for part in parts(change) if isinstance(part, Create) and part is not claim]
                refusal = self.taken(others).refusal
                raise IntegrityError(f"{refusal}, which is not among the unique_fields of bulk_create")
        return [found[claim.id] for claim in wanted if claim is not None]

    def taken(self, claims: Sequence[Create]) -> Create:
        """The first of a row and its markers that exists; the first if none does any more."""
        table = self.query.get_meta().db_table
        ids = tuple(claim.id for claim in claims if claim.collection == table)
        rows = {id for (id,) in self.connection.plan_cursor().run(Get(table, ids, (DOCUMENT_ID,)))} if ids else set()
        stored = self.markers.stored([claim.id for claim in claims if claim.collection != table])
        exist = [claim for claim in claims if claim.id in (rows if claim.collection == table else stored)]
        return (exist or list(claims))[0]

    def update_existing(self, updates: dict[str, Update]) -> None:
        """Updates rows by document id. Rows that do not exist any more are skipped.

        The commit of the unit of work fails if a row has changed since it was read here.
        """
        first = next(iter(updates.values()))
        keys = self.markers.affected(ref.path[0] for ref in first.columns)
        changes: Sequence[Change] = list(updates.values())
        if keys:
            columns = self.markers.columns(keys)
            read = Get(first.collection, tuple(updates), (DOCUMENT_ID, *columns))
            rows = {id: by_column(columns, values) for id, *values in self.connection.plan_cursor().run(read)}
            there = [update for id, update in updates.items() if id in rows]
            changes = self.markers.updated(keys, there, [rows[update.id] for update in there])
        self.connection.plan_cursor().commit(changes, isolate=True)
