"""SELECT: chooses the lane, runs the plan, and returns rows in the form that Django expects.

Django's own SQLite compiler (`inner`) resolves the query. Both lanes use its select list, `klass_info` and
`annotation_col_map`; the mirror also uses its rows and converters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError
from django.db.models import Field, JSONField
from django.db.models.sql import RawQuery, compiler
from django.db.models.sql.constants import CURSOR, GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE
from django.db.models.sql.subqueries import AggregateQuery
from django.db.models.sql.where import ExtraWhere, WhereNode
from django.db.transaction import TransactionManagementError

from ..errors import integer_overflow
from ..indexes.serving import Catalog
from ..mirror import table_refs
from ..mirror.load_plan import Page, sliced
from ..mirror.loader import NoSliceError
from ..mirror.tables import Table, page_table_name, tables_of
from ..query import analysis, pk_lookup
from ..query.analysis import (
    AggregateAnalysis,
    AggregateColumn,
    ConstantColumn,
    DistanceColumn,
    OutputColumn,
    RowAnalysis,
)
from ..query.ast import TRUE, Condition, Select, all_of
from ..query.evaluate import holds, sort_key
from ..query.lowering import is_composite
from ..query.plan import Aggregate, Compare, Function, Get, Measure, Merge, Nearest, Op, Query, Read
from ..query.planner import Answer, NoRows, NotNative, Sifted, SortedGet, plan
from ..rpc import codec
from ..statements import MIRROR, NATIVE, PLANS_AROUND_INDEXES, Text
from ..values.batching import batches
from ..values.types import JSON_NULL, Kind, Ref
from . import claim, known_queries, marker_lookup, own_aggregates, own_rows, sifting
from .explain import describe

Row = tuple[Any, ...]


class SQLCompiler(compiler.SQLCompiler):
    """SELECT, in the native lane or in the mirror."""

    connection: Any
    query: Any
    elide_empty: bool
    inner: Any = None
    lane: str = NATIVE
    shape: pk_lookup.Shape | known_queries.KnownQuery | None = None

    # --- the interface to Django's iterators

    def setup(self) -> Any:
        """Creates Django's SQLite compiler for this query."""
        self.inner = self.connection.mirror.compiler(self.query, self.elide_empty)
        return self.inner

    def copy_select_list(self) -> None:
        """Copies the select list of the inner compiler."""
        self.select = self.inner.select
        self.klass_info = self.inner.klass_info
        self.annotation_col_map = self.inner.annotation_col_map
        self.col_count = getattr(self.inner, "col_count", None)
        self.has_extra_select = getattr(self.inner, "has_extra_select", False)

    def get_converters(self, expressions: Iterable[Any]) -> dict[int, Any]:
        """SQLite's converters in the mirror and for raw SQL, otherwise the native ones."""
        if isinstance(self.query, RawQuery):
            self.lane, self.inner = MIRROR, self.connection.mirror.compiler_of_raw(self.query)
        if self.lane == MIRROR:
            return dict(self.inner.get_converters(expressions))
        if self.shape is not None:
            known, zone = self.shape.converters, self.connection.timezone
            if zone not in known:
                known[zone] = self.native_converters(expressions)
            return known[zone]
        return self.native_converters(expressions)

    def native_converters(self, expressions: Iterable[Any]) -> dict[int, Any]:
        """The engine's converters. Those of JSON fields do not parse text, since native JSON values are decoded."""
        expressions = list(expressions)
        converters = super().get_converters(expressions)
        return {
            position: ([_without_json_text(function) for function in functions], expression)
            for position, (functions, expression) in converters.items()
        }

    def apply_converters(self, rows: Iterable[Any], converters: dict[int, Any]) -> Iterator[Any]:
        """Converted rows. Those of JSON columns, which need none but for a JSON null, stay as they are otherwise."""
        if all(functions == [_json_value] for functions, _ in converters.values()):
            return _without_json_nulls(rows, list(converters))
        converted: Iterator[Any] = super().apply_converters(rows, converters)
        return converted

    # --- execution

    def execute_sql(
        self,
        result_type: str | None = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        """The result by `result_type`: chunks of rows, or one row."""
        check_locks(self.query, self.connection)
        if result_type == CURSOR:
            return self.cursor_of_rows()
        if result_type not in (MULTI, SINGLE):
            raise NotSupportedError(f"Firestore does not support the result type {result_type!r} of a SELECT.")
        try:
            return self.connection.statement(self.text, partial(self.fetched, result_type, chunked_fetch, chunk_size))
        except EmptyResultSet:
            self.setup().pre_sql_setup()
            self.copy_select_list()
            return iter(()) if result_type == MULTI else None

    def cursor_of_rows(self) -> Any:
        """A cursor that returns the rows as they are stored."""
        cursor = self.connection.cursor()
        cursor.cursor.hold([row for chunk in self.execute_sql(MULTI) for row in chunk])
        return cursor

    def fetched(self, result_type: str, chunked_fetch: bool, chunk_size: int) -> Any:
        """What `execute_sql` returns. The first chunk is read at once."""
        rows = self.rows()
        if result_type == MULTI:
            chunks = batches(rows, chunk_size)
            if not chunked_fetch:
                return iter(list(chunks))
            first = list(islice(chunks, 1))
            return self.connection.iterated_in_statement(chain(first, chunks))
        first_row = next(rows, None)
        _close(rows)
        return first_row

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """The query in SQL, for `str(queryset.query)`: in SQLite's dialect, and never refused because of locks."""
        return self.text(*args, **kwargs)

    def text(self, *args: Any, **kwargs: Any) -> Text:
        """The query in SQL. Raises EmptyResultSet where it cannot have rows."""
        query = self.query
        inner = self.connection.mirror.compiler(query.clone(), self.elide_empty)
        sql, params = inner.as_sql(*args, **kwargs)
        if not query.select_for_update:
            return sql, params
        locks = self.connection.ops.for_update_sql(
            nowait=query.select_for_update_nowait,
            skip_locked=query.select_for_update_skip_locked,
            of=inner.get_select_for_update_of_arguments(),
            no_key=query.select_for_no_key_update,
        )
        return f"{sql} {locks}", params

    def rows(self) -> Iterator[Row]:
        """The rows, in select order. Raises EmptyResultSet if no row can match."""
        query, unit = self.query, self.connection.unit
        if query.select_for_update and query.select_for_update_skip_locked and not unit.is_of_test:
            return claim.claimed_rows(self)
        return self.rows_of(query)

    def rows_of(self, query: Any) -> Iterator[Row]:
        """The rows of a query, in select order, which becomes the compiler's query."""
        self.query = query
        found = pk_lookup.match_select(self)
        if found is not None:
            return self.row_by_pk(*found)
        shape = known_queries.shape_of(query)
        if shape is not None and (known := known_queries.find(shape, query, self.connection)) is not None:
            rows = self.rows_of_known(known)
            if rows is not None:
                return rows
        inner = self.setup()
        if query.model is None:
            self.lane = MIRROR
            return iter(self.run_in_mirror(inner, ("a query without a table",)))
        analyzed = analysis.analyze(self, inner)
        self.copy_select_list()
        known = None if shape is None else known_queries.keep(shape, self, analyzed)
        answer = self.native(analyzed, known)
        if isinstance(answer, NotNative):
            self.lane = MIRROR
            return iter(self.mirror_rows(analyzed, answer.unsupported))
        self.lane = NATIVE
        return answer

    def row_by_pk(self, shape: pk_lookup.Shape, read: Get, residue: Condition) -> Iterator[Row]:
        """The row of a query with the fast path (`pk_lookup`)."""
        self.shape = shape
        self.select, self.klass_info, self.annotation_col_map = shape.select, shape.klass_info(), {}
        self.col_count, self.has_extra_select = len(shape.select), False
        rows = self.connection.plan_cursor().run(read)
        return iter(rows) if residue == TRUE else filter(holds(residue, shape.columns, codec.as_read), rows)

    def rows_of_known(self, known: known_queries.KnownQuery) -> Iterator[Row] | None:
        """The rows of a query whose shape is known; None if it has to be compiled."""
        unit = self.connection.unit
        if unit is not None and unit.touches(Query(known.analyzed.select.collection)):
            return None
        read = self.with_index(known.plan_of(known.select_of(self)))
        if isinstance(read, NotNative | NoRows):
            return None
        known.set_on(self)
        self.lane = NATIVE
        return self.output_rows(known.analyzed, self.read(read))

    def native(
        self, analyzed: RowAnalysis | AggregateAnalysis, known: known_queries.KnownQuery | None = None
    ) -> Iterator[Row] | NotNative:
        """The rows from Firestore, or the reasons why the query is not native."""
        if isinstance(analyzed, AggregateAnalysis):
            return self.native_aggregates(analyzed)
        if (own := own_rows.sliced_rows(self, analyzed)) is not None:
            return self.output_rows(analyzed, own)
        planned = analysis.plan_rows(analyzed) if known is None else known.plan_of(analyzed.select)
        read = self.with_index(self.rejected_if_buffered(planned))
        if isinstance(read, NotNative):
            return read
        if isinstance(read, NoRows):
            return self.no_rows()
        return self.output_rows(analyzed, self.read(read))

    def rejected_if_buffered(self, answer: Answer | Nearest | NotNative) -> Any:
        """The plan, or `NotNative` if this transaction has buffered writes to its collections."""
        unit = self.connection.unit
        if unit is None or isinstance(answer, NoRows | NotNative | SortedGet):
            return answer
        if not unit.touches(answer.read if isinstance(answer, Sifted) else answer):
            return answer
        return NotNative(("a query over rows that this transaction wrote",))

    @cached_property
    def plans_around_indexes(self) -> bool:
        """Whether the mirror answers this query if it has no index (`FirestoreQuerySet.without_index()`)."""
        return plans_around_indexes(self.query)

    def served(self, read: Read, aggregated: Sequence[Ref] = ()) -> Read | None:
        """The read as indexes serve it, or None; as it is, if indexes are not known."""
        catalog: Catalog | None = self.connection.catalog(around=self.plans_around_indexes)
        return read if catalog is None else catalog.served(read, aggregated)

    def with_index(self, answer: Any, aggregated: Sequence[Ref] = ()) -> Any:
        """The plan as indexes serve it; without an index `NotNative` if the mirror may answer, else as it is."""
        if isinstance(answer, Sifted):
            read = self.with_index(answer.read)
            return read if isinstance(read, NotNative) else replace(answer, read=read)
        if not isinstance(answer, Query | Merge | Nearest):
            return answer
        without = NotNative(("a query without an index",)) if self.plans_around_indexes else answer
        return self.served(answer, aggregated) or without

    def no_rows(self) -> Iterator[Row] | NotNative:
        """The result of an empty query: no rows, or `NotNative` for an aggregate, which has one row."""
        return iter(()) if self.elide_empty else NotNative(("an aggregate over no rows",))

    def read(self, read: Read | SortedGet | Sifted) -> Iterator[Row]:
        """The rows of one read."""
        if isinstance(read, Sifted):
            return sifting.rows(self.connection, read)
        cursor = self.connection.plan_cursor()
        if not isinstance(read, SortedGet):
            return iter(cursor.run(read))
        rows = list(cursor.run(read.read))
        if read.residue != TRUE:
            rows = list(filter(holds(read.residue, read.read.columns, codec.as_read), rows))
        for position, descending in reversed(read.orders):
            rows.sort(key=lambda row: sort_key(row[position]), reverse=descending)
        stop = None if read.limit is None else read.offset + read.limit
        return iter([row[: read.width] for row in rows[read.offset : stop]])

    def output_rows(self, analyzed: RowAnalysis, rows: Iterator[Row]) -> Iterator[Row]:
        """Rows in select order."""
        vector_order = analyzed.vector_order
        sign = -1 if vector_order is not None and vector_order.measure is Measure.DOT_PRODUCT else 1
        getters = [output_getter(item, sign) for item in analyzed.shape]
        if list(analyzed.shape) == list(range(len(analyzed.select.columns))):
            return rows if vector_order is None else (row[: len(analyzed.shape)] for row in rows)
        return (tuple(get(row) for get in getters) for row in rows)

    # --- aggregates

    def native_aggregates(self, analyzed: AggregateAnalysis) -> Iterator[Row] | NotNative:
        """One row of aggregates, or the reasons why the query is not native."""
        if self.connection.unit is not None:
            row = own_aggregates.corrected_row(self, analyzed)
            if row is not None:
                return iter([row])
        sources: list[Any] = []
        for column in analyzed.aggregates:
            source = self.rejected_if_buffered(
                plan(column.select if column.extreme is None else min_max_select(column))
            )
            source = self.with_index(source, [column.ref] if column.extreme is None and column.ref else ())
            if not isinstance(source, NotNative) and column.function not in (None, Function.COUNT):
                source = source if isinstance(source, Query | NoRows) else NotNative(("an aggregate by key",))
            if isinstance(source, NotNative):
                return NotNative((*analyzed.unsupported, *source.unsupported))
            sources.append(source)
        if analyzed.unsupported:
            return NotNative(analyzed.unsupported)
        if any(isinstance(source, NoRows) for source in sources):
            return self.no_rows()
        return iter([self.aggregate_row(analyzed.aggregates, sources)])

    def aggregate_row(self, columns: Sequence[AggregateColumn], sources: Sequence[Any]) -> Row:
        """The values of aggregates over planned sources. SUM and AVG over no rows are NULL, as in SQL."""
        server: list[Aggregate] = []
        results: list[Callable[[Row], Any]] = []
        for column, source in zip(columns, sources, strict=True):
            if column.extreme is not None:
                results.append(constant_getter(next((row[0] for row in self.read(source)), None)))
            elif isinstance(source, Get | SortedGet | Sifted):
                results.append(constant_getter(sum(1 for _ in self.read(source))))
            elif column.function is Function.SUM:
                server += [
                    Aggregate(source, Function.SUM, column.ref),
                    Aggregate(source, Function.AVG, column.ref),
                ]
                results.append(sum_or_null(len(server) - 2, column.ref))
            else:
                server.append(Aggregate(source, column.function or Function.COUNT, column.ref))
                results.append(itemgetter(len(server) - 1))
        row = self.connection.plan_cursor().aggregate(server) if server else ()
        return tuple(result(row) for result in results)

    # --- the mirror

    def mirror_rows(self, analyzed: RowAnalysis | AggregateAnalysis, unsupported: Sequence[str]) -> list[Row]:
        """All rows from the mirror. Its tables are emptied before this returns."""
        page, inner = self.page(analyzed), self.inner
        if page is not None:
            mirror = self.connection.mirror
            paged = inner if page.with_own_rows else mirror.compiler(self.paged_query(), self.elide_empty)
            try:
                return self.run_in_mirror(paged, unsupported, page)
            except NoSliceError:
                pass  # an inner join removes rows of the slice, so SQLite applies it
        return self.run_in_mirror(inner, unsupported)

    def paged_query(self) -> Any:
        """The query for the rows of the page table, without the slice; the same aggregates over it."""
        if not isinstance(self.query, AggregateQuery):
            return self.without_slice(self.query)
        query: Any = self.query.chain()
        query.inner_query = self.without_slice(query.inner_query)
        return query

    def without_slice(self, sliced: Any) -> Any:
        """The query for the rows of the page table."""
        query, quoted = sliced.chain(), self.connection.ops.quote_name
        query.clear_limits()
        meta = query.get_meta()
        key = quoted(meta.pk.column)
        keys = f"SELECT {key} FROM {quoted(page_table_name(meta.db_table))}"  # noqa: S608 - the model's names
        base = quoted(query.get_initial_alias())
        listed: Any = ExtraWhere([f"{base}.{key} IN ({keys})"], ())
        query.where = WhereNode([query.where, listed])
        return query

    def page(self, analyzed: RowAnalysis | AggregateAnalysis) -> Page | None:
        """The slice that Firestore can apply. Rows with buffered writes of this transaction are added to it."""
        query = self.inner.query
        if isinstance(analyzed, AggregateAnalysis):
            if analyzed.rows is None:
                return None if is_composite(query.model) else self.page_of_extreme(analyzed)
            query, analyzed = query.inner_query, analyzed.rows
        if is_composite(query.model):
            return None
        page, unit = table_refs.page(query, analyzed), self.connection.unit
        if page is not None and not self.serves_page(page, analyzed):
            return None
        if page is None or unit is None or not unit.touches(Query(analyzed.select.collection)):
            return page
        return replace(page, limit=page.offset + page.limit, offset=0, with_own_rows=True)

    def serves_page(self, page: Page, analyzed: Any) -> bool:
        """Whether the read of a slice has its index."""
        read = plan(replace(sliced(analyzed.select, page), unsupported=()))
        if isinstance(read, Sifted):
            return False
        return not isinstance(read, Query | Merge) or self.served(read) == read

    def page_of_extreme(self, analyzed: AggregateAnalysis) -> Page | None:
        """The first row of Firestore for one Min or Max, if this transaction has buffered writes of the table."""
        unit = self.connection.unit
        if unit is None or analyzed.unsupported or len(analyzed.aggregates) != 1:
            return None
        [column] = analyzed.aggregates
        if column.extreme is None or not unit.touches(Query(column.select.collection)):
            return None
        select = min_max_select(column)
        if not isinstance(plan(select), Query | Merge):
            return None
        return Page(select.where, select.orders, limit=1, offset=0, with_own_rows=True)

    def run_in_mirror(self, inner: Any, unsupported: Sequence[str], page: Page | None = None) -> list[Row]:
        """The rows that SQLite returns."""
        self.inner = inner
        sql, params = inner.as_sql()
        self.copy_select_list()
        with self.mirror_for(sql, params, unsupported, page=page):
            if isinstance(inner, compiler.SQLAggregateCompiler):
                row = inner.execute_sql(SINGLE)
                return [] if row is None else [tuple(row)]
            chunks = inner.execute_sql(MULTI)
            return [row for chunk in chunks for row in chunk]

    def tables(self) -> dict[str, Table]:
        """All tables that a query may refer to."""
        # The query of `Q.check()` has no model, but its subqueries may.
        named = [self.query.model] if self.query.model else table_refs.models(self.inner.query)
        registry = named[0]._meta.apps if named else apps
        # Also of models that belong to no installed app, whose registry is one of their own.
        models = [model for own in registry.all_models.values() for model in own.values()]
        parents = (parent for model in named for parent in model._meta.all_parents)
        return tables_of((*named, *parents, *models), self.connection)

    def mirror_for(
        self,
        sql: str,
        params: Sequence[Any],
        unsupported: Sequence[str],
        *,
        page: Page | None = None,
        versions_of: str | None = None,
        among: Any = None,
    ) -> AbstractContextManager[dict[Any, Any]]:
        """The mirror, loaded for a statement. `among` is the expression to compute, if the statement is not a query."""
        tables = self.tables()
        graph = table_refs.join_graph(self, self.inner.query if among is None else among)
        if among is None and versions_of is None:
            graph = marker_lookup.narrowed(self, graph)
        loaded: AbstractContextManager[dict[Any, Any]] = self.connection.mirror.loaded(
            sql, params, tables, graph, unsupported, page=page, versions_of=versions_of, served=self.served
        )
        return loaded

    # --- explain

    def explain_query(self) -> Iterator[str]:
        """The lane, the reads of Firestore, and the limit of documents read."""
        info = self.query.explain_info
        self.connection.ops.explain_query_prefix(info.format, **info.options)
        yield from self.connection.statement(self.explained, lambda: list(describe(self, self.analyzed())))

    def analyzed(self) -> RowAnalysis | AggregateAnalysis:
        """The analysis of the query."""
        return analysis.analyze(self, self.setup())

    def explained(self) -> Text:
        """The EXPLAIN in SQL; without a query where it cannot have rows."""
        try:
            sql, params = self.text()
        except EmptyResultSet:
            sql, params = "", ()
        return f"{self.connection.ops.explain_prefix} {sql}".strip(), params


def plans_around_indexes(query: Any) -> bool:
    """Whether `without_index()` was called on a queryset; a query over a subquery takes it from there."""
    inner = getattr(query, "inner_query", None)
    return bool(getattr(query, PLANS_AROUND_INDEXES, False)) or (inner is not None and plans_around_indexes(inner))


def min_max_select(column: AggregateColumn) -> Select:
    """A select of the row with the minimum or maximum value that is not null."""
    if column.extreme is None:
        raise TypeError("the aggregate is not Min or Max")
    where = all_of([column.select.where, Compare(column.extreme.ref, Op.IS_NOT_NULL)])
    return replace(column.select, where=where, columns=(column.extreme.ref,), orders=(column.extreme,), limit=1)


def output_getter(item: OutputColumn, sign: int) -> Callable[[Row], Any]:
    """A function that returns an output column's value from a row. `sign` applies to the distance, the last value."""
    match item:
        case ConstantColumn(value):
            return constant_getter(value)
        case DistanceColumn():
            return lambda row: None if row[-1] is None else sign * row[-1]
        case position:
            return itemgetter(position)


def constant_getter(value: Any) -> Callable[[Row], Any]:
    """A function that returns the same value for every row."""
    return lambda row: value


def sum_or_null(at: int, ref: Ref | None) -> Callable[[Row], Any]:
    """A function that returns the sum at a position, or None if the average at the next position is None (no rows).

    Beyond 64 bits Firestore's sum of integers is an inexact double. As on SQLite, that is an error.
    """

    def result(row: Row) -> Any:
        if ref and ref.kind is Kind.INTEGER and isinstance(row[at], float) and abs(row[at]) >= 2.0**63:
            raise integer_overflow(ref)
        return None if row[at + 1] is None else row[at]

    return result


def check_locks(query: Any, connection: Any) -> None:
    """Raises if `select_for_update()` is used outside of `atomic()`, or with options that Firestore does not support.

    `of` and `no_key` are accepted: a transaction locks all documents that it reads, and so at least those. Rows that
    others have claimed are skipped (`claim.py`).
    """
    if not query.select_for_update:
        return
    if not connection.in_atomic_block:
        raise TransactionManagementError("select_for_update cannot be used outside of a transaction.")
    if query.select_for_update_nowait:
        raise NotSupportedError(
            "NOWAIT is not supported on this database backend. select_for_update(nowait=True) needs to know the locks "
            "of others, and Firestore does not report them. Without it, a transaction waits for them."
        )
    if query.select_for_update_of:
        inner = connection.mirror.compiler(query.clone())
        inner.pre_sql_setup()
        inner.get_select_for_update_of_arguments()  # raises FieldError for names that are not of selected rows


def _close(rows: Any) -> None:
    close = getattr(rows, "close", None)
    if close is not None:
        close()


def _without_json_text(function: Any) -> Any:
    """The converter of a JSON column, for values that are already decoded."""
    owner = getattr(function, "__self__", None)
    if not isinstance(owner, Field) or owner.get_internal_type() != "JSONField":
        return function
    if isinstance(owner, JSONField) and owner.decoder is None and function.__func__ is JSONField.from_db_value:
        return _json_value

    def from_text(value: Any, expression: Any, connection: Any) -> Any:
        text = None if value is None else json.dumps(None if value is JSON_NULL else value)
        return function(text, expression, connection)

    return from_text


def _without_json_nulls(rows: Iterable[Any], positions: Sequence[int]) -> Iterator[Any]:
    for row in rows:
        converted = row
        for position in positions:
            if row[position] is JSON_NULL:
                converted = [*converted[:position], None, *converted[position + 1 :]]
        yield converted


def _json_value(value: Any, expression: Any, connection: Any) -> Any:
    return None if value is JSON_NULL else value
