"""Fills the mirror for one statement: runs its loads (`mirror/load_plan.py`), within `mirror_limit` documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from django.db.models import Field

from ..connection import Connection
from ..errors import QueryTooBroad
from ..query.ast import TRUE, Select, all_of
from ..query.lowering import column_ref
from ..query.plan import Compare, Get, Merge, Op, Query, Read
from ..query.planner import Answer, NoRows, NotNative, SortedGet, plan, superset
from ..values.types import VERSION, Ref
from .load_plan import Load, Rank, rank_of, sliced
from .tables import Table

Row = tuple[Any, ...]
Insert = Callable[[Table, Sequence[Any], Sequence[Row]], None]
"""Puts rows into a table; the sequence before them holds the field of each value."""

# Values of a join's column that a query is asked for; for more, the table is read by its other filters.
MAX_JOINED: Final = 300


class NoSliceError(Exception):
    """Firestore cannot take the slice after all: a row without its partner, which an inner join leaves out."""


@dataclass
class LoadedTable:
    """What the copy holds of a table: rows by key, in the order of `refs`, and the reads that brought them."""

    table: Table
    fields: Sequence[Field[Any, Any]]
    refs: Sequence[Ref]
    rows: dict[Any, Row] = field(default_factory=dict)
    reads: list[tuple[Answer, list[Row]]] = field(default_factory=list)
    whole: bool = False

    @property
    def select(self) -> Select:
        """All rows, of the columns that are needed."""
        return Select(self.table.name, self.table.key, tuple(self.refs))

    def add(self, rows: Iterable[Row]) -> list[Row]:
        """Keeps rows; returns those that were not there."""
        key = self.refs.index(self.table.key) if self.table.key in self.refs else None
        fresh = []
        for row in rows:
            identity = len(self.rows) if key is None else row[key]
            if identity not in self.rows:
                self.rows[identity] = row
                fresh.append(row)
        return fresh


class Loader:
    """The loads of one statement; `versions` are the update times of one table's documents, by primary key."""

    def __init__(
        self,
        outer: Connection,
        insert: Insert,
        tables: Mapping[str, Table],
        columns: Mapping[str, Collection[str]],
        unsupported: Sequence[str],
        versions_of: str | None = None,
    ) -> None:
        self.versions: dict[Any, Any] = {}
        self._insert = insert
        self._outer = outer
        self._unsupported = unsupported
        self._versions_of = versions_of
        self._budget: int = outer.option("mirror_limit")
        self._tables = {name: self._loaded_table(tables[name], columns.get(name, ())) for name in tables}
        # The table of each use that was loaded, and the rows that it may need.
        self._rows_by_ref: dict[int, tuple[LoadedTable, list[Row]]] = {}

    def _loaded_table(self, table: Table, wanted: Collection[str]) -> LoadedTable:
        everything = any(f.generated and f.column in wanted for f in table.fields.values())
        fields = [
            f for f in table.fields.values() if not f.generated and (everything or f.column in wanted or f.primary_key)
        ]
        return LoadedTable(table, fields, [column_ref(field, self._outer) for field in fields])

    def load(self, load: Load) -> None:
        """Reads what one use of a table needs, and is not there yet."""
        loaded = self._tables[load.table]
        if load.page is not None:
            rows = self._fetch(loaded, plan(sliced(loaded.select, load.page)), load.page.checked)
        elif loaded.whole:
            rows = list(loaded.rows.values())
        else:
            rows = self._load_narrowed(load, loaded)
        self._rows_by_ref[load.ref_index] = loaded, rows

    def require_join_partners(self, load: Load) -> None:
        """Raises NoSliceError where a row of a slice lacks the partner that an inner join demands."""
        for link in load.links:
            if link.required and not set(self._column(link.source, link.source_column)).issubset(
                self._column(link.target, link.column)
            ):
                raise NoSliceError

    def _load_narrowed(self, load: Load, loaded: LoadedTable) -> list[Row]:
        """The rows that a load's condition and one of its links leave."""
        where = load.condition
        loaded.whole = where == TRUE and not load.links
        for link in load.links if rank_of(where) > Rank.BY_KEY else ():
            values = tuple(dict.fromkeys(v for v in self._column(link.source, link.source_column) if v is not None))
            if link.column.key:
                return self._load_by_pk(loaded, values)
            if len(values) <= MAX_JOINED:
                where = all_of([where, Compare(link.column, Op.IN, values)])
                break
        return self._fetch(loaded, superset(replace(loaded.select, where=where)))

    def _load_by_pk(self, loaded: LoadedTable, values: Sequence[Any]) -> list[Row]:
        """The rows with these keys, of which only those that the copy lacks are read."""
        missing = tuple(value for value in values if value not in loaded.rows)
        if missing:
            self._fetch(loaded, superset(replace(loaded.select, where=Compare(loaded.table.key, Op.IN, missing))))
        return [loaded.rows[value] for value in values if value in loaded.rows]

    def _column(self, ref_index: int, column: Ref) -> Iterator[Any]:
        """The values that the rows of a use hold."""
        loaded, rows = self._rows_by_ref[ref_index]
        place = loaded.refs.index(column)
        return (row[place] for row in rows)

    def _fetch(self, loaded: LoadedTable, read: Answer | NotNative, skipped: int = 0) -> list[Row]:
        """The rows of a read, put into the copy but for the first `unseen`; no read is made twice."""
        if isinstance(read, SortedGet):
            read = read.read
        if isinstance(read, NoRows | NotNative):
            return []
        known = next((rows for before, rows in loaded.reads if before == read), None)
        if known is None:
            known = self._read(loaded, read, skipped)
            loaded.reads.append((read, known))
        return known

    def _read(self, loaded: LoadedTable, read: Read, skipped: int) -> list[Row]:
        """Reads within the budget, with what this transaction wrote, and copies what is new."""
        versioned = loaded.table.name == self._versions_of
        read = _with_version(read) if versioned else read
        with self._outer.cursor() as cursor:
            if isinstance(read, Query | Merge) and read.limit is not None:
                rows = list(islice(cursor.run(read), self._budget + 1))
                count = len(rows)
            else:
                rows, count = cursor.superset(read, self._budget)
        if count > self._budget:
            raise self._too_broad(loaded.table.name)
        self._budget -= count
        if versioned:
            key = loaded.refs.index(loaded.table.key)
            for row in rows:
                self.versions.setdefault(row[key], row[-1])
            rows = [row[:-1] for row in rows]
        self._insert(loaded.table, loaded.fields, loaded.add(rows)[skipped:])
        return rows

    def _too_broad(self, table: str) -> QueryTooBroad:
        return QueryTooBroad(
            f"Firestore cannot answer {', '.join(self._unsupported) or 'this query'}, and what it can filter leaves "
            f"more than {self._outer.option('mirror_limit')} documents of {table!r}. "
            "Add a filter that Firestore can apply (an equality, a range, a prefix), or raise "
            "OPTIONS['mirror_limit']."
        )


def _with_version(read: Read) -> Read:
    """A read with the documents' update times, last in each row."""
    if isinstance(read, Merge):
        return replace(read, branches=tuple(replace(b, columns=(*b.columns, VERSION)) for b in read.branches))
    if isinstance(read, Query | Get):
        return replace(read, columns=(*read.columns, VERSION))
    raise TypeError(f"{type(read).__name__} is no read of the mirror")
