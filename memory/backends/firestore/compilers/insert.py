"""INSERT.

A single row is one commit. Several rows, and an upsert, are a unit of work: that of the open transaction, or their own.
Django's `bulk_create()` opens a transaction for all statements before 6.0, and only for several since then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from django.db.models.constants import OnConflict
from django.db.models.sql import compiler

from ..mirror.converters import from_sqlite
from ..query.plan import Change, Create, Get, Increments, optional
from ..statements import WRITE, Text
from ..values import server_time
from ..values.document_ids import document_key, is_shortened
from ..values.types import DOCUMENT_ID, plain
from .field_values import Source
from .insert_columns import Insertion, insertion
from .select import Row
from .target_rows import TargetRowsCompiler
from .upsert import Upsert


class SQLInsertCompiler(compiler.SQLInsertCompiler, TargetRowsCompiler):
    """Creates documents. An existing document is an IntegrityError, unless the query has an ON CONFLICT clause."""

    query: Any
    has_expressions = False
    claim_calls: Callable[[], None] | None = None
    computed: Increments

    def execute_sql(self, returning_fields: Sequence[Any] | None = None) -> list[Row]:  # type: ignore[override]
        """The values of `returning_fields` for each object."""
        shape = insertion(self.query.model, self.query.fields, self.connection)
        self.computed = {}
        rows = self.rows_to_insert(shape)
        if shape.numbered:
            # Ids are chosen before the statement, whose text contains them. The calls for that are the statement's.
            with self.connection.ahead_of_statement() as self.claim_calls:
                self.number(shape, rows)
        text = partial(self.insert_text, shape, rows, returning_fields or ())
        work = partial(self.inserted, shape, rows, returning_fields)
        values: Iterable[Any] = self.connection.statement(text, work, WRITE)
        if not returning_fields:
            return []
        table = self.query.get_meta().db_table
        converters = self.get_converters([field.get_col(table) for field in returning_fields])
        if converters:
            values = self.apply_converters(values, converters)
        return [tuple(row) for row in values]

    def insert_text(self, shape: Insertion, rows: Sequence[Sequence[Any]], returning: Sequence[Any]) -> Text:
        """The INSERT in SQL."""
        mirror = self.connection.mirror.connection.ops
        table, query = mirror.quote_name(self.query.get_meta().db_table), self.query
        columns = ", ".join(mirror.quote_name(field.column) for field in shape.fields)
        marks = f"({', '.join(['%s'] * len(shape.fields))})"
        sql = (
            f"{mirror.insert_statement(query.on_conflict)} {table} ({columns}) VALUES {', '.join([marks] * len(rows))}"
        )
        updated, unique = ([field.column for field in fields] for fields in (query.update_fields, query.unique_fields))
        if suffix := mirror.on_conflict_suffix_sql(shape.fields, query.on_conflict, updated, unique):
            sql = f"{sql} {suffix}"
        if returning:
            sql = f"{sql} RETURNING {', '.join(f'{table}.{mirror.quote_name(field.column)}' for field in returning)}"
        return sql, [value for row in rows for value in row]

    def inserted(self, shape: Insertion, rows: list[list[Any]], returning: Sequence[Any] | None) -> list[list[Any]]:
        """Inserts rows, and the values of columns that were asked for."""
        if self.claim_calls is not None:
            self.claim_calls()
        if self.has_expressions:
            self.compute(shape.fields, rows)
        updated = self.insert(shape, rows)
        if not returning:
            return []
        rows = [self.with_computed(shape, row) for row in rows]
        self.read_updated(shape, rows, updated, returning)
        return self.returned(returning, shape.fields, rows)

    def with_computed(self, shape: Insertion, row: list[Any]) -> list[Any]:
        """A row with the times that the server set. In a transaction they are not known yet, and stay estimates."""
        places = server_time.places(row)
        if not places:
            return row
        computed = self.computed.get((shape.table, shape.document_id(row)), {})
        names = [column.path[0] for column in shape.columns]
        return [
            computed.get(names[place], server_time.estimated(value)) if place in places else value
            for place, value in enumerate(row)
        ]

    def returned(self, wanted: Sequence[Any], fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """The values of inserted columns. Generated columns are read by a query."""
        position = {field: i for i, field in enumerate(fields)}
        generated = [field for field in wanted if field.generated]
        if not generated:
            return [[row[position[field]] for field in wanted] for row in rows]
        key = position[self.query.get_meta().pk]
        stored = self.query.model._base_manager.using(self.using).filter(pk__in=[row[key] for row in rows])
        found = {pk: more for pk, *more in stored.values_list("pk", *(field.attname for field in generated))}
        return [
            [found[row[key]][generated.index(f)] if f.generated else row[position[f]] for f in wanted] for row in rows
        ]

    def rows_to_insert(self, shape: Insertion) -> list[list[Any]]:
        """The values of each object."""
        rows = [self.values(shape.sources, obj) for obj in self.query.objs]
        if len(shape.fields) > len(shape.sources):
            rows = [[None, *row] for row in rows]
        return rows

    def number(self, shape: Insertion, rows: Sequence[list[Any]]) -> None:
        """New ids for AutoFields, in place."""
        ops, table = self.connection.ops, shape.table
        for position in shape.numbered:
            ops.pass_over_ids(table, [row[position] for row in rows])
            ids = iter(ops.new_auto_ids(table, sum(row[position] is None for row in rows)))
            for row in rows:
                if row[position] is None:
                    row[position] = next(ids)

    def values(self, sources: Sequence[Source], obj: Any) -> list[Any]:
        """An object's database values. Expressions are resolved, and `compute` evaluates them."""
        raw, row = self.query.raw, []
        for field, attname, is_attribute, unchanged, prepare in sources:
            value = getattr(obj, attname) if raw or is_attribute else field.pre_save(obj, add=True)
            if value.__class__ not in unchanged:
                if not hasattr(value, "resolve_expression"):
                    value = plain(prepare(value))
                elif server_time.is_server_time(value):
                    value = server_time.server_time()
                else:
                    value = self.prepare_value(field, value)
                self.has_expressions = self.has_expressions or hasattr(value, "as_sql")
            row.append(value)
        return row

    def compute(self, fields: Sequence[Any], rows: Sequence[list[Any]]) -> None:
        """Replaces expressions and database defaults with their values, computed by SQLite."""
        mirror = self.connection.mirror
        inner = None
        for row in rows:
            for position, (field, value) in enumerate(zip(fields, row, strict=True)):
                if not hasattr(value, "as_sql"):
                    continue
                inner = inner or mirror.compiler(self.query)
                sql, params = inner.compile(value)
                unsupported = (f"the value of {field.name}",)
                with self.mirror_for(f"SELECT {sql}", params, unsupported, among=value):
                    [(result,)] = mirror.returning(f"SELECT {sql}", params)
                convert = from_sqlite(field, self.connection, mirror.connection)
                row[position] = result if result is None or convert is None else convert(result)

    def read_updated(
        self, shape: Insertion, rows: list[list[Any]], updated: Mapping[int, str], wanted: Sequence[Any]
    ) -> None:
        """Replaces rows of an upsert by the existing ones that were updated in place of them."""
        if not updated or len(shape.key) > 1:
            return
        [place] = shape.key
        key = shape.columns[place]
        if {field.column for field in wanted} == {key.path[0]} and not any(map(is_shortened, updated.values())):
            for position, id in updated.items():
                rows[position][place] = document_key(id, key.kind)
            return
        read = Get(
            self.query.get_meta().db_table, tuple(dict.fromkeys(updated.values())), (DOCUMENT_ID, *shape.columns)
        )
        stored = {id: values for id, *values in self.connection.plan_cursor().run(read)}
        for position, id in updated.items():
            rows[position] = stored.get(id, rows[position])

    def insert(self, shape: Insertion, rows: Sequence[Sequence[Any]]) -> Mapping[int, str]:
        """Creates the documents, and handles conflicts according to the query.

        Returns the document ids of existing rows that were updated, by the position of the row in conflict.
        """
        for row in rows:
            shape.refuse_invalid(row)
        table, columns = shape.table, shape.columns
        writes = [Create(table, shape.document_id(row), columns, tuple(row), shape.duplicate) for row in rows]
        settle = self.query.on_conflict
        if settle is OnConflict.UPDATE:
            upsert = Upsert(self.connection, self.query, self.markers)
            with self.connection.unit_of_work() as unit:
                unit.run_repeatable(upserting(upsert, writes, self.query, shape))
            return upsert.updated
        changes = self.markers.inserted(writes) if shape.has_constraints else writes
        if len(changes) > 1:
            with self.connection.unit_of_work():
                self.create(changes, settle is OnConflict.IGNORE)
        else:
            self.create(changes, settle is OnConflict.IGNORE)
        return {}

    def create(self, changes: Sequence[Change], ignore: bool) -> None:
        """Creates documents. With `ignore`, existing ones are skipped."""
        sent = list(map(optional, changes)) if ignore else changes
        self.connection.plan_cursor().commit(sent, isolate=ignore, increments=self.computed)


def upserting(upsert: Upsert, writes: Sequence[Create], query: Any, shape: Insertion) -> Callable[[], None]:
    """Runs an upsert. When the transaction repeats it, objects with new ids get the keys of the rows that it found."""
    runs = count()
    pk = query.get_meta().pk
    numbered = [obj.pk is None for obj in query.objs]

    def run() -> None:
        upsert.run(writes)
        if not next(runs) or len(shape.key) > 1:
            return
        kind = shape.columns[shape.key[0]].kind
        for position, (obj, write) in enumerate(zip(query.objs, writes, strict=True)):
            if numbered[position]:
                setattr(obj, pk.attname, document_key(upsert.updated.get(position, write.id), kind))

    return run
