"""The target rows of an UPDATE or DELETE: document ids, expected versions, and values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..constraints.markers import Markers, by_column
from ..query import analysis, pk_lookup
from ..query.analysis import AggregateAnalysis
from ..query.lowering import column_ref, key_fields
from ..query.plan import Change, Get, Increments, Outcome
from ..query.planner import NoRows, NotNative, plan
from ..rpc.calls import Deadline
from ..statements import MIRROR, WRITE
from ..values.types import DOCUMENT_ID, VERSION, Ref
from .document_keys import checked_document_id, id_of_key
from .select import SQLCompiler


@dataclass(frozen=True, slots=True)
class TargetRows:
    """Documents to write: their ids and expected versions (None: the document must exist).

    `rows` are the values by column, of the requested columns.
    """

    ids: tuple[str, ...]
    versions: tuple[Any, ...]
    rows: tuple[Mapping[str, Any], ...] = ()

    def versioned(self) -> Iterator[tuple[str, Any]]:
        """Each id with its version."""
        return zip(self.ids, self.versions, strict=True)


class TargetRowsCompiler(SQLCompiler):
    """Finds the target rows of a write."""

    @cached_property
    def markers(self) -> Markers:
        """The markers of this table's unique columns."""
        return Markers(self.connection, self.query.model)

    def target_rows(self, query: Any, columns: tuple[Ref, ...] = ()) -> TargetRows:
        """The rows that currently match a query's conditions, with the values of `columns`."""
        if (id := pk_lookup.match_write(query, self.connection)) is not None:
            return self.with_values(TargetRows((id,), (None,)), columns)
        reader = analysis.primary_key_query(query).get_compiler(self.using)
        analyzed = analysis.analyze(reader, reader.setup())
        if isinstance(analyzed, AggregateAnalysis):
            raise TypeError("a query for primary keys cannot be an aggregate")
        key = analyzed.select.key
        answer = self.rejected_if_buffered(plan(replace(analyzed.select, columns=(key, VERSION, *columns))))
        answer = reader.with_index(answer)
        if isinstance(answer, NotNative):
            return self.with_values(self.target_rows_in_mirror(reader, key, answer.unsupported), columns)
        if isinstance(answer, NoRows):
            return TargetRows((), ())
        if isinstance(answer, Get):
            return self.with_values(TargetRows(answer.ids, (None,) * len(answer.ids)), columns)
        read = [row[: 2 + len(columns)] for row in reader.read(answer)]
        return TargetRows(
            tuple(checked_document_id(row[0], key) for row in read),
            self.expected_versions(row[1] for row in read),
            tuple(by_column(columns, row[2:]) for row in read),
        )

    def expected_versions(self, versions: Iterable[Any]) -> tuple[Any, ...]:
        """The versions that rows must still have when they are written. None in a transaction, which locks the rows."""
        return tuple(versions if self.connection.unit is None else (None for _ in versions))

    def target_rows_in_mirror(self, reader: SQLCompiler, key: Ref, unsupported: Sequence[str]) -> TargetRows:
        """The rows that SQLite finds, with the update times of the loaded documents."""
        reader.lane = MIRROR
        sql, params = reader.inner.as_sql()
        fields = key_fields(reader.query.model)
        with reader.mirror_for(sql, params, unsupported, versions_of=reader.query.base_table) as versions:
            found = dict.fromkeys(tuple(row) for row in reader.inner.results_iter())  # a join may repeat rows
        refs = [column_ref(field, self.connection) for field in fields]
        keys = [
            tuple(f.get_db_prep_save(value, connection=self.connection) for f, value in zip(fields, row, strict=True))
            for row in found
        ]
        return TargetRows(
            tuple(id_of_key(values, refs) for values in keys), self.expected_versions(map(versions.get, keys))
        )

    def with_values(self, targets: TargetRows, columns: tuple[Ref, ...]) -> TargetRows:
        """The rows that still exist, with the values of `columns`, and with versions if they had none."""
        if not columns or not targets.ids:
            return targets
        table = self.query.get_meta().db_table
        found = {
            row[0]: row
            for row in self.connection.plan_cursor().run(Get(table, targets.ids, (DOCUMENT_ID, VERSION, *columns)))
        }
        kept = [
            (id, version or self.expected_versions([found[id][1]])[0])
            for id, version in zip(targets.ids, targets.versions, strict=True)
            if id in found
        ]
        return TargetRows(
            tuple(id for id, _ in kept),
            tuple(version for _, version in kept),
            tuple(by_column(columns, found[id][2:]) for id, _ in kept),
        )

    def deadline(self) -> Deadline:
        """The deadline for retries of rows that others change, with backoff."""
        return Deadline(self.connection.option("timeout"))

    def write(self, writes: Sequence[Change], increments: Increments | None = None) -> list[Outcome]:
        """Applies writes independently of each other, and returns their outcomes."""
        if not writes:
            return []
        with self.connection.lane(WRITE):
            outcomes: list[Outcome] = self.connection.plan_cursor().commit(writes, isolate=True, increments=increments)
            return outcomes
