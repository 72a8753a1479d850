"""`bulk_create(update_conflicts=True)`: rows whose unique fields others have give them their new values instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, OperationalError

from .errors import ATTEMPTS, contention
from .markers import Markers, by_column
from .plan import DOCUMENT_ID, VERSION, Change, Create, Get, Outcome, Update, parts, rows_of
from .uniqueness import Key

if TYPE_CHECKING:
    from .base import DatabaseWrapper


@dataclass(frozen=True, slots=True)
class Upsert:
    """One INSERT ... ON CONFLICT DO UPDATE: its query names the unique fields, and those to update."""

    connection: DatabaseWrapper
    query: Any
    markers: Markers

    def run(self, writes: Sequence[Create]) -> None:
        """Create rows, or update those that are there."""
        target = self.target()
        changes = self.markers.inserted(writes)
        outcomes = self.connection.cursor().commit(changes, isolate=True)
        refused = [i for i, outcome in enumerate(outcomes) if outcome is Outcome.EXISTS]
        if not refused:
            return
        owners = self.owners(target, [changes[i] for i in refused])
        names = {field.column for field in self.query.update_fields}
        updates = {}
        for write, owner in zip([writes[i] for i in refused], owners, strict=True):
            kept = [i for i, ref in enumerate(write.columns) if ref.path[0] in names]
            columns, values = (tuple(part[i] for i in kept) for part in (write.columns, write.values))
            updates[owner] = Update(write.collection, owner, columns, values)
        self.revise(updates)

    def target(self) -> Key | None:
        """The constraint whose conflicts are settled; None for the primary key."""
        meta = self.query.get_meta()
        wanted = {field.column for field in self.query.unique_fields}
        if wanted == {meta.pk.column}:
            return None
        for key in self.markers.keys:
            if not key.condition and {field.column for field in key.fields} == wanted:
                return key
        raise OperationalError(
            "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint: unique_fields of bulk_create are "
            f"{sorted(wanted)}, and {meta.db_table!r} has no such constraint without a condition."
        )

    def owners(self, target: Key | None, changes: Sequence[Change]) -> list[str]:
        """The ids of the rows that have what others were to be created with. Raises IntegrityError where the conflict
        is not the target's."""
        wanted = []
        for change in changes:
            [row, *markers] = parts(change)
            claims = {one.values[1]: one for one in markers if isinstance(one, Create)}
            wanted.append(row if target is None else claims.get(target.name))
        ids = [one.id for one in wanted if one is not None]
        if target is None:
            table = self.query.get_meta().db_table
            found = {id: id for (id,) in self.connection.cursor().run(Get(table, tuple(ids), (DOCUMENT_ID,)))}
        else:
            found = {id: marker.owner for id, marker in self.markers.stored(ids).items()}
        for one, change in zip(wanted, changes, strict=True):
            if one is None or one.id not in found:
                others = [part for part in parts(change) if isinstance(part, Create) and part is not one]
                raise IntegrityError(f"{others[0].refusal}, which is not among the unique_fields of bulk_create")
        return [found[one.id] for one in wanted if one is not None]

    def revise(self, updates: dict[str, Update]) -> None:
        """Updates of rows by id, until each is applied or its row is gone."""
        first = next(iter(updates.values()))
        keys = self.markers.affected(ref.path[0] for ref in first.columns)
        columns = self.markers.columns(keys)
        for _ in range(ATTEMPTS):
            changes: Sequence[Change] = list(updates.values())
            if keys:
                read = Get(first.collection, tuple(updates), (DOCUMENT_ID, VERSION, *columns))
                rows = {row[0]: row[1:] for row in self.connection.cursor().run(read)}
                guarded = [
                    replace(one, version=rows[id][0] if self.connection.unit is None else None)
                    for id, one in updates.items()
                    if id in rows
                ]
                before = [by_column(columns, rows[one.id][1:]) for one in guarded]
                changes = self.markers.updated(keys, guarded, before)
            outcomes = self.connection.cursor().commit(changes, isolate=True)
            stale = [change for change, outcome in zip(changes, outcomes, strict=True) if outcome is Outcome.STALE]
            if not stale:
                return
            updates = {row.id: updates[row.id] for change in stale for row in rows_of(change)}
        raise contention(first.collection)
