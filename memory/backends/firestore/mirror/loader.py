"""Runs the loads of one statement (`load_plan.py`), limited to `mirror_limit` documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Final

from django.db.models import Field

from ..connection import Connection
from ..errors import QueryTooBroad
from ..query.ast import TRUE, Select, all_of
from ..query.lowering import column_ref
from ..query.plan import Compare, Get, Merge, Op, Query, Read
from ..query.planner import Answer, NoRows, NotNative, Served, Sifted, SortedGet, as_planned, plan, superset
from ..values.sizes import ByteBudget
from ..values.types import VERSION, Ref
from .load_plan import Load, Page, Rank, rank_of, sliced
from .tables import Table

Row = tuple[Any, ...]
Insert = Callable[[Table, Sequence[Any], Sequence[Row]], None]
"""Inserts rows into a table. The second argument is the sequence of the values' fields."""

# Maximum number of join values in a query. With more, the table is read by its other filters.
MAX_JOINED: Final = 300


class NoSliceError(Exception):
    """A slice by Firestore is not correct: an inner join removes one of its rows."""


@dataclass
class LoadedTable:
    """The loaded rows of a table by key, with columns in the order of `refs`, and the reads that returned them."""

    table: Table
    fields: Sequence[Field[Any, Any]]
    refs: Sequence[Ref]
    rows: dict[Any, Row] = field(default_factory=dict)
    reads: list[tuple[Answer, list[Row]]] = field(default_factory=list)
    whole: bool = False

    @property
    def select(self) -> Select:
        """A select of all rows and the needed columns."""
        return Select(self.table.name, self.table.key, tuple(self.refs))

    @cached_property
    def key_places(self) -> tuple[int, ...]:
        """The positions of the primary key's columns in a row."""
        columns = [one.column for one in self.fields]
        return tuple(columns.index(column) for column in self.table.key_columns)

    def key(self, row: Row) -> tuple[Any, ...]:
        """The primary key of a row: the values of its columns."""
        return tuple([row[place] for place in self.key_places])

    def add(self, rows: Iterable[Row]) -> list[Row]:
        """Adds rows. Returns those that were not loaded before."""
        fresh, places = [], self.key_places
        for row in rows:
            identity = row[places[0]] if len(places) == 1 else self.key(row)
            if identity not in self.rows:
                self.rows[identity] = row
                fresh.append(row)
        return fresh


class Loader:
    """Runs the loads of one statement. `versions` has the update times of one table's documents, by primary key."""

    def __init__(
        self,
        outer: Connection,
        insert: Insert,
        tables: Mapping[str, Table],
        columns: Mapping[str, Collection[str]],
        unsupported: Sequence[str],
        versions_of: str | None = None,
        served: Served = as_planned,
    ) -> None:
        """`served` is a read as indexes serve it: the superset of a table is one."""
        self._served = served
        self.versions: dict[Any, Any] = {}
        self._insert = insert
        self._outer = outer
        self._unsupported = unsupported
        self._versions_of = versions_of
        self._budget: int = outer.option("mirror_limit")
        self._bytes = ByteBudget(outer.option("mirror_bytes"))
        self._tables = {name: self._loaded_table(tables[name], columns.get(name, ())) for name in tables}
        # The table and the relevant rows of each loaded table reference.
        self._rows_by_ref: dict[int, tuple[LoadedTable, list[Row]]] = {}

    def _loaded_table(self, table: Table, wanted: Collection[str]) -> LoadedTable:
        everything = any(f.generated and f.column in wanted for f in table.fields.values())
        fields = [
            f
            for f in table.fields.values()
            if not f.generated and (everything or f.column in wanted or f.column in table.key_columns)
        ]
        return LoadedTable(table, fields, [column_ref(field, self._outer) for field in fields])

    def load(self, load: Load) -> list[Row]:
        """Reads the rows of one load that are not loaded yet. Returns all rows of the load."""
        loaded = self._tables[load.table]
        if load.page is not None:
            rows = self._fetch(loaded, plan(sliced(loaded.select, load.page)), load.page)
        elif loaded.whole:
            rows = list(loaded.rows.values())
        else:
            rows = self._load_narrowed(load, loaded)
        self._rows_by_ref[load.ref_index] = loaded, rows
        return rows

    def keys(self, load: Load, rows: Sequence[Row]) -> list[Row]:
        """The primary keys of rows of a load."""
        loaded = self._tables[load.table]
        place = loaded.refs.index(loaded.table.key)
        return [(row[place],) for row in rows]

    def require_join_partners(self, load: Load) -> None:
        """Raises NoSliceError if an inner join has no matching row for a row of a slice."""
        for link in load.links:
            if link.required and not set(self._column(link.source, link.source_column)).issubset(
                self._column(link.target, link.column)
            ):
                raise NoSliceError

    def _load_narrowed(self, load: Load, loaded: LoadedTable) -> list[Row]:
        """The rows that match a load's condition and one of its links."""
        where = load.condition
        loaded.whole = where == TRUE and not load.links
        for link in load.links if rank_of(where) > Rank.BY_KEY else ():
            if not self._has_column(link.source, link.source_column):
                continue
            values = tuple(dict.fromkeys(v for v in self._column(link.source, link.source_column) if v is not None))
            if link.column.key:
                return self._load_by_pk(loaded, values)
            if len(values) <= MAX_JOINED:
                where = all_of([where, Compare(link.column, Op.IN, values)])
                break
        return self._fetch(loaded, superset(replace(loaded.select, where=where), self._served))

    def _load_by_pk(self, loaded: LoadedTable, values: Sequence[Any]) -> list[Row]:
        """The rows with these keys. Only rows that are not loaded yet are read."""
        missing = tuple(value for value in values if value not in loaded.rows)
        if missing:
            self._fetch(loaded, superset(replace(loaded.select, where=Compare(loaded.table.key, Op.IN, missing))))
        return [loaded.rows[value] for value in values if value in loaded.rows]

    def _has_column(self, ref_index: int, column: Ref) -> bool:
        """Whether a column of a reference is loaded. Django leaves out the conditions of a part without rows."""
        loaded, rows = self._rows_by_ref[ref_index]
        return not rows or column in loaded.refs

    def _column(self, ref_index: int, column: Ref) -> Iterator[Any]:
        """The values of a column in the rows of a table reference."""
        loaded, rows = self._rows_by_ref[ref_index]
        if not rows:
            return iter(())
        place = loaded.refs.index(column)
        return (row[place] for row in rows)

    def _fetch(self, loaded: LoadedTable, read: Answer | NotNative, page: Page | None = None) -> list[Row]:
        """The rows of a read, inserted into the mirror. No read is repeated."""
        if isinstance(read, SortedGet):
            read = read.read
        if isinstance(read, NoRows | NotNative | Sifted):  # a superset and a slice have no residue
            return []
        known = next((rows for before, rows in loaded.reads if before == read), None)
        if known is None:
            known = self._read(loaded, read, page)
            loaded.reads.append((read, known))
        return known

    def _read(self, loaded: LoadedTable, read: Read, page: Page | None) -> list[Row]:
        """Reads within the budget, including this transaction's writes, and inserts new rows into the mirror."""
        versioned = loaded.table.name == self._versions_of
        read = _with_version(read) if versioned else read
        if isinstance(read, Get) and len(read.ids) > self._budget:  # a missing document is billed, too
            raise self._too_broad(loaded.table.name, f"{self._outer.option('mirror_limit')} documents", "mirror_limit")
        with self._outer.plan_cursor() as cursor:
            if page is not None and page.with_own_rows:
                rows, count = cursor.superset(read, min(page.limit, self._budget))
            elif isinstance(read, Query | Merge) and read.limit is not None:
                rows = list(self._bytes.take(islice(cursor.run(read), self._budget + 1)))
                count = len(rows)
            else:
                rows, count = cursor.superset(read, self._budget, self._bytes)
        if self._bytes.is_spent:
            raise self._too_broad(loaded.table.name, f"{self._outer.option('mirror_bytes')} bytes", "mirror_bytes")
        if isinstance(read, Get):
            count = len(read.ids)
        if count > self._budget:
            raise self._too_broad(loaded.table.name, f"{self._outer.option('mirror_limit')} documents", "mirror_limit")
        self._budget -= count
        if versioned:
            for row in rows:
                self.versions.setdefault(loaded.key(row), row[-1])
            rows = [row[:-1] for row in rows]
        self._insert(loaded.table, loaded.fields, loaded.add(rows))
        return rows

    def _too_broad(self, table: str, limit: str, option: str) -> QueryTooBroad:
        return QueryTooBroad(
            f"Firestore does not support {', '.join(self._unsupported) or 'this query'}, and its other filters match "
            f"more than {limit} of {table!r}. "
            "Add a filter that Firestore supports (an equality, a range, a prefix), or raise "
            f"OPTIONS[{option!r}]."
        )


def _with_version(read: Read) -> Read:
    """The read with the document's update time as the last column."""
    if isinstance(read, Merge):
        return replace(read, branches=tuple(replace(b, columns=(*b.columns, VERSION)) for b in read.branches))
    if isinstance(read, Query | Get):
        return replace(read, columns=(*read.columns, VERSION))
    raise TypeError(f"the mirror does not read by {type(read).__name__}")
