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
from ..query.planner import Answer, Nothing, Sorted, Unanswerable, plan, superset
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
class Held:
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


class Filling:
    """The loads of one statement; `versions` are the update times of one table's documents, by primary key."""

    def __init__(
        self,
        outer: Connection,
        insert: Insert,
        tables: Mapping[str, Table],
        columns: Mapping[str, Collection[str]],
        blame: Sequence[str],
        versions_of: str | None = None,
    ) -> None:
        self.versions: dict[Any, Any] = {}
        self._insert = insert
        self._outer = outer
        self._blame = blame
        self._versions_of = versions_of
        self._budget: int = outer.option("mirror_limit")
        self._held = {name: self._holder(tables[name], columns.get(name, ())) for name in tables}
        # The table of each use that was loaded, and the rows that it may need.
        self._loaded: dict[int, tuple[Held, list[Row]]] = {}

    def _holder(self, table: Table, wanted: Collection[str]) -> Held:
        everything = any(f.generated and f.column in wanted for f in table.fields.values())
        fields = [
            f for f in table.fields.values() if not f.generated and (everything or f.column in wanted or f.primary_key)
        ]
        return Held(table, fields, [column_ref(field, self._outer) for field in fields])

    def load(self, load: Load) -> None:
        """Reads what one use of a table needs, and is not there yet."""
        held = self._held[load.table]
        if load.page is not None:
            rows = self._fetch(held, plan(sliced(held.select, load.page)), load.page.checked)
        elif held.whole:
            rows = list(held.rows.values())
        else:
            rows = self._narrowed(load, held)
        self._loaded[load.use] = held, rows

    def insist(self, load: Load) -> None:
        """Raises NoSliceError where a row of a slice lacks the partner that an inner join demands."""
        for link in load.links:
            if link.required and not set(self._column(link.source, link.source_column)).issubset(
                self._column(link.target, link.column)
            ):
                raise NoSliceError

    def _narrowed(self, load: Load, held: Held) -> list[Row]:
        """The rows that a load's condition and one of its links leave."""
        where = load.condition
        held.whole = where == TRUE and not load.links
        for link in load.links if rank_of(where) > Rank.BY_KEY else ():
            values = tuple(dict.fromkeys(v for v in self._column(link.source, link.source_column) if v is not None))
            if link.column.key:
                return self._by_key(held, values)
            if len(values) <= MAX_JOINED:
                where = all_of([where, Compare(link.column, Op.IN, values)])
                break
        return self._fetch(held, superset(replace(held.select, where=where)))

    def _by_key(self, held: Held, values: Sequence[Any]) -> list[Row]:
        """The rows with these keys, of which only those that the copy lacks are read."""
        missing = tuple(value for value in values if value not in held.rows)
        if missing:
            self._fetch(held, superset(replace(held.select, where=Compare(held.table.key, Op.IN, missing))))
        return [held.rows[value] for value in values if value in held.rows]

    def _column(self, use: int, column: Ref) -> Iterator[Any]:
        """The values that the rows of a use hold."""
        held, rows = self._loaded[use]
        place = held.refs.index(column)
        return (row[place] for row in rows)

    def _fetch(self, held: Held, read: Answer | Unanswerable, unseen: int = 0) -> list[Row]:
        """The rows of a read, put into the copy but for the first `unseen`; no read is made twice."""
        if isinstance(read, Sorted):
            read = read.read
        if isinstance(read, Nothing | Unanswerable):
            return []
        known = next((rows for before, rows in held.reads if before == read), None)
        if known is None:
            known = self._read(held, read, unseen)
            held.reads.append((read, known))
        return known

    def _read(self, held: Held, read: Read, unseen: int) -> list[Row]:
        """Reads within the budget, with what this transaction wrote, and copies what is new."""
        versioned = held.table.name == self._versions_of
        read = _with_version(read) if versioned else read
        with self._outer.cursor() as cursor:
            if isinstance(read, Query | Merge) and read.limit is not None:
                rows = list(islice(cursor.run(read), self._budget + 1))
                count = len(rows)
            else:
                rows, count = cursor.superset(read, self._budget)
        if count > self._budget:
            raise self._too_broad(held.table.name)
        self._budget -= count
        if versioned:
            key = held.refs.index(held.table.key)
            for row in rows:
                self.versions.setdefault(row[key], row[-1])
            rows = [row[:-1] for row in rows]
        self._insert(held.table, held.fields, held.add(rows)[unseen:])
        return rows

    def _too_broad(self, table: str) -> QueryTooBroad:
        return QueryTooBroad(
            f"Firestore cannot answer {', '.join(self._blame) or 'this query'}, and what it can filter leaves "
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
