"""Compares markers with rows and repairs them, for data older than a constraint or written by other clients.

Rows and markers are streamed into a temporary SQLite file, so memory is bounded whatever their number. Since others may
write in the meantime, a mismatch is only a suspect: it is checked again, and repaired, in a transaction that locks the
documents it reads. Rows that violate a constraint are reported, and their markers are not changed.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from django.db import IntegrityError
from tqdm import tqdm

from ..query.plan import Aggregate, Create, Delete, Function, Get, Query, Update, Write
from ..transactions.retry import run_in_transaction
from ..values.batching import batches
from ..values.types import DOCUMENT_ID
from . import evaluate
from .definitions import COLUMNS, KEY, OWNER, Check, Key
from .markers import Marker, Markers, by_column

BATCH: Final = 500
"""Documents between two updates of the progress bar."""

SUSPECTS_PER_TRANSACTION: Final = 50
"""Suspects checked in one transaction."""

ATTEMPTS: Final = 10
"""Attempts of such a transaction on contention."""

MAX_NAMED: Final = 20
"""Maximum number of violations in an error, and of rows in a violation."""

SCRATCH_SCHEMA: Final = """
CREATE TABLE expected (marker TEXT, owner TEXT, PRIMARY KEY (marker, owner)) WITHOUT ROWID;
CREATE TABLE stored (marker TEXT PRIMARY KEY, owner TEXT) WITHOUT ROWID;
"""
UNMARKED: Final = """
SELECT DISTINCT owner FROM expected LEFT JOIN stored USING (marker, owner) WHERE stored.marker IS NULL
"""
UNOWNED: Final = """
SELECT stored.marker FROM stored LEFT JOIN expected USING (marker, owner) WHERE expected.marker IS NULL
"""
OTHER_OWNERS: Final = f"SELECT owner FROM expected WHERE marker = ? AND owner <> ? LIMIT {MAX_NAMED}"  # noqa: S608
DUPLICATE: Final = "SELECT marker FROM expected GROUP BY marker HAVING count(*) > 1 LIMIT 1"


@dataclass(frozen=True, slots=True)
class Violation:
    """Rows, by document id, that together violate a constraint."""

    message: str
    owners: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.message}: {', '.join(self.owners)}"


@dataclass
class Report:
    """The result for one table: numbers of documents, and all violations."""

    table: str
    rows: int = 0
    markers: int = 0
    missing: int = 0
    orphans: int = 0
    violations: dict[str, Violation] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether rows and markers agree and no constraint is violated."""
        return not (self.missing or self.orphans or self.violations)


class Audit:
    """Compares one table's rows with its markers. It is a context manager, since it has a temporary file.

    `keys` are the constraints to check, by default all of the table. `bar` creates the progress bars.
    """

    def __init__(self, connection: Any, model: Any, keys: Sequence[Key] | None = None, bar: Any = tqdm) -> None:
        self.connection = connection
        self.markers = Markers(connection, model)
        self.partial = keys is not None
        self.keys = self.markers.keys if keys is None else tuple(keys)
        self.columns = self.markers.columns(self.keys)
        self.names = {key.name for key in self.keys}
        self.report = Report(self.markers.table)
        self._bar = bar
        self._scratch = sqlite3.connect("")
        self._scratch.executescript(SCRATCH_SCHEMA)

    def __enter__(self) -> Audit:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._scratch.close()

    def compare(self, *, repair: bool) -> Report:
        """After `read()`: checks the suspects, and repairs them if `repair`. The report includes repaired markers."""
        for owners in self._suspects(UNMARKED):
            self._in_transaction(partial(self._check_rows, owners, repair))
        for ids in self._suspects(UNOWNED):
            self._in_transaction(partial(self._check_markers, ids, repair))
        return self.report

    def read(self) -> None:
        """Records the expected and the stored markers."""
        table, collection = self.markers.table, self.markers.collection
        with self._progress(table) as bar:
            for batch in batches(self._stream(Query(table, (DOCUMENT_ID, *self.columns))), BATCH):
                needed = evaluate.markers(
                    self.connection, self.keys, [by_column(self.columns, row[1:]) for row in batch]
                )
                expected = [(id, row[0]) for row, ids in zip(batch, needed, strict=True) for id in ids]
                self._scratch.executemany("INSERT OR IGNORE INTO expected VALUES (?, ?)", expected)
                self.report.rows += len(batch)
                bar.update(len(batch))
        with self._progress(collection) as bar:
            for batch in batches(self._stream(Query(collection, (DOCUMENT_ID, OWNER, KEY))), BATCH):
                stored = [(id, owner) for id, owner, key in batch if not self.partial or key in self.names]
                self._scratch.executemany("INSERT OR REPLACE INTO stored VALUES (?, ?)", stored)
                self.report.markers += len(stored)
                bar.update(len(batch))

    @property
    def has_duplicates(self) -> bool:
        """Whether two of the rows read require the same marker."""
        return self._scratch.execute(DUPLICATE).fetchone() is not None

    # --- suspects

    def _in_transaction(self, check_suspects: Callable[[], Callable[[], None]]) -> None:
        """Runs a check in a transaction, and updates the report after its commit."""
        if self.connection.in_atomic_block:
            check_suspects()()
        else:
            run_in_transaction(check_suspects, attempts=ATTEMPTS, using=self.connection.alias)()

    def _check_rows(self, owners: Sequence[str], repair: bool) -> Callable[[], None]:
        """Checks rows with a missing marker."""
        needed = self._needed(owners)
        stored = self.markers.stored(id for ids in needed.values() for id in ids)
        claimants = self._claimants(needed, stored)
        writes: list[Write] = []
        violations: dict[str, Violation] = {}
        for owner, ids in needed.items():
            for id, key in ids.items():
                if len(claimants[id]) > 1:
                    violations[id] = Violation(key.message, tuple(sorted(claimants[id])))
                elif id not in stored:
                    writes.append(Create(self.markers.collection, id, COLUMNS, (owner, key.name, ""), key.message))
                elif stored[id].owner != owner:
                    writes.append(Update(self.markers.collection, id, (OWNER,), (owner,)))
        if repair:
            self._write(writes)

        def update_report() -> None:
            self.report.missing += len(writes)
            self.report.violations.update(violations)

        return update_report

    def _claimants(self, needed: Mapping[str, Mapping[str, Key]], stored: Mapping[str, Marker]) -> dict[str, set[str]]:
        """The rows that currently require a marker, by its id: several if they violate its constraint.

        Besides those in `needed`, a marker's stored owner and the rows that were read with the same key may require it.
        """
        rivals: dict[str, set[str]] = defaultdict(set)
        for owner, ids in needed.items():
            for id in ids:
                rivals[id].update(rival for (rival,) in self._scratch.execute(OTHER_OWNERS, (id, owner)))
                if id in stored:
                    rivals[id].add(stored[id].owner)
        current = {**needed, **self._needed(set().union(*rivals.values()) - needed.keys())}
        return {
            id: {owner, *(rival for rival in rivals[id] if id in current.get(rival, ()))}
            for owner, ids in needed.items()
            for id in ids
        }

    def _check_markers(self, ids: Sequence[str], repair: bool) -> Callable[[], None]:
        """Checks markers without a matching row."""
        stored = self.markers.stored(ids)
        needed = self._needed({marker.owner for marker in stored.values()})
        orphans = [id for id, marker in stored.items() if id not in needed.get(marker.owner, ())]
        if repair:
            self._write([Delete(self.markers.collection, id) for id in orphans])

        def update_report() -> None:
            self.report.orphans += len(orphans)

        return update_report

    def _needed(self, owners: Iterable[str]) -> dict[str, Mapping[str, Key]]:
        """The markers that rows currently require, by document id. Rows that do not exist are left out."""
        names = tuple(owners)
        if not names:
            return {}
        rows = list(self.connection.cursor().run(Get(self.markers.table, names, (DOCUMENT_ID, *self.columns))))
        needed = evaluate.markers(self.connection, self.keys, [by_column(self.columns, row[1:]) for row in rows])
        return {row[0]: ids for row, ids in zip(rows, needed, strict=True)}

    def _write(self, writes: Sequence[Write]) -> None:
        if writes:
            self.connection.cursor().commit(writes)

    # --- the temporary file

    def _suspects(self, sql: str) -> Iterator[list[str]]:
        return batches((value for (value,) in self._scratch.execute(sql)), SUSPECTS_PER_TRANSACTION)

    def _stream(self, query: Query) -> Iterator[tuple[Any, ...]]:
        cursor, unit = self.connection.cursor(), self.connection.unit
        return iter(cursor.superset(query)[0] if unit is not None and unit.touches(query) else cursor.run(query))

    def _progress(self, collection: str) -> AbstractContextManager[Any]:
        (total,) = self.connection.cursor().aggregate([Aggregate(Query(collection), Function.COUNT)])
        bar: AbstractContextManager[Any] = self._bar(total=total, desc=collection, unit=" documents", disable=None)
        return bar


def enforce_check(connection: Any, model: Any, check: Check) -> None:
    """Raises IntegrityError if rows of a table violate a new check constraint."""
    table = str(model._meta.db_table)
    columns = Markers(connection, model).columns([check])
    every, cursor = Query(table, (DOCUMENT_ID, *columns)), connection.cursor()
    rows = cursor.run(every) if connection.unit is None else cursor.superset(every)[0]
    bad: list[str] = []
    for batch in batches(iter(rows), BATCH):
        found = evaluate.violated_checks(connection, [check], [by_column(columns, row[1:]) for row in batch])
        bad += [batch[position][0] for position, _ in found]
    if bad:
        raise IntegrityError(
            f"{check.message}: {len(bad)} rows of {table!r} violate it; change or delete them, then migrate again: "
            f"{', '.join(bad[:MAX_NAMED])}"
        )


def enforce(connection: Any, model: Any, keys: Sequence[Key]) -> None:
    """Writes the markers of a table's new constraints.

    If rows violate a constraint, it raises IntegrityError and writes nothing.
    """
    with Audit(connection, model, keys) as audit:
        audit.read()
        if audit.has_duplicates:
            audit.compare(repair=False)
        violations = list(audit.report.violations.values()) or list(audit.compare(repair=True).violations.values())
    if violations:
        named = "\n".join(f"  {one}" for one in violations[:MAX_NAMED])
        raise IntegrityError(
            f"{len(violations)} violations among the rows of {audit.markers.table!r}; change or delete the rows, then "
            f"migrate again:\n{named}"
        )
