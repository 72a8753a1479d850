"""SELECT: the lane is chosen, the plan is run, and rows are handed back as Django expects them.

Django's own SQLite compiler (`inner`) first reads the query. Its select list, `klass_info` and
`annotation_col_map` are ours in both lanes; in the mirror its rows and converters are too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import NotSupportedError, OperationalError
from django.db.models import JSONField
from django.db.models.sql import compiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE
from django.db.transaction import TransactionManagementError

from ..mirror import table_refs
from ..mirror.load_plan import Page
from ..mirror.loader import NoSliceError
from ..mirror.tables import Table, tables_of
from ..query import analysis, pk_lookup
from ..query.analysis import Constant, Distance, Item, Number, Numbers, Rows
from ..query.ast import Select, all_of
from ..query.plan import Aggregate, Compare, Function, Get, Measure, Nearest, Op, Query, Read
from ..query.planner import Answer, Nothing, Sorted, Unanswerable, plan
from ..values.batching import batches
from ..values.types import JSON_NULL, Kind, Ref
from .explain import describe

Row = tuple[Any, ...]

NATIVE: Final = "native"
MIRROR: Final = "mirror"


class SQLCompiler(compiler.SQLCompiler):
    """SELECT, in the native lane or in the mirror."""

    connection: Any
    query: Any
    elide_empty: bool
    inner: Any = None
    lane: str = NATIVE
    shape: pk_lookup.Shape | None = None

    # --- the query as Django's iterators see it

    def setup(self) -> Any:
        """Django's SQLite compiler for this query, and what it found, as ours."""
        self.inner = self.connection.mirror.compiler(self.query, self.elide_empty)
        return self.inner

    def adopt(self) -> None:
        """Take over the select list that the inner compiler made."""
        self.select = self.inner.select
        self.klass_info = self.inner.klass_info
        self.annotation_col_map = self.inner.annotation_col_map
        self.col_count = getattr(self.inner, "col_count", None)
        self.has_extra_select = getattr(self.inner, "has_extra_select", False)

    def get_converters(self, expressions: Iterable[Any]) -> dict[int, Any]:
        """In the mirror SQLite's; otherwise ours, less JSON's, whose values are no text here."""
        if self.lane == MIRROR:
            return dict(self.inner.get_converters(expressions))
        if self.shape is not None:
            if self.shape.converters is None:
                self.shape.converters = self.native_converters(expressions)
            return self.shape.converters
        return self.native_converters(expressions)

    def native_converters(self, expressions: Iterable[Any]) -> dict[int, Any]:
        """Ours, less JSON's."""
        expressions = list(expressions)
        converters = super().get_converters(expressions)
        return {
            position: ([_without_text(function) for function in functions], expression)
            for position, (functions, expression) in converters.items()
        }

    # --- running it

    def execute_sql(
        self,
        result_type: str | None = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        """The rows: chunks of them, one, or none, as `result_type` asks."""
        check_locks(self.query, self.connection)
        if result_type not in (MULTI, SINGLE):
            raise NotSupportedError("Firestore has no cursor over a SELECT: iterate the queryset.")
        with self.connection.asking(self.text):
            try:
                rows = self.rows()
            except EmptyResultSet:
                rows = iter(())
            if result_type == MULTI:
                chunks = batches(rows, chunk_size)
                return chunks if chunked_fetch else iter(list(chunks))
            first = next(rows, None)
            _close(rows)
            return first

    def text(self) -> str:
        """The query in SQL: nobody runs it, but it is how a reader of `connection.queries` knows their query."""
        try:
            sql, params = (self.inner or self.setup()).as_sql()
        except (EmptyResultSet, FullResultSet):
            return ""
        mirror = self.connection.mirror.connection
        mirror.ensure_connection()
        return str(mirror.ops.last_executed_query(None, sql, params))

    def rows(self) -> Iterator[Row]:
        """The rows, in select order. Raises EmptyResultSet where the query cannot have any."""
        found = pk_lookup.find(self.query, self.connection)
        if found is not None:
            return self.row_by_key(*found)
        inner = self.setup()
        if self.query.model is None:
            self.lane = MIRROR
            return iter(self.run_in_mirror(inner, ("a query without a table",)))
        asked = analysis.ask(self, inner)
        self.adopt()
        answer = self.native(asked)
        if isinstance(answer, Unanswerable):
            self.lane = MIRROR
            return iter(self.mirrored(asked, answer.blame))
        self.lane = NATIVE
        return answer

    def row_by_key(self, shape: pk_lookup.Shape, read: Get) -> Iterator[Row]:
        """The row of a query that needed no compiling."""
        self.shape = shape
        self.select, self.klass_info, self.annotation_col_map = shape.select, shape.klass_info(), {}
        self.col_count, self.has_extra_select = len(shape.select), False
        return iter(self.connection.cursor().run(read))

    def native(self, asked: Rows | Numbers) -> Iterator[Row] | Unanswerable:
        """The rows from Firestore alone, or why that cannot be."""
        if isinstance(asked, Numbers):
            return self.native_numbers(asked)
        read = self.untouched(analysis.answer(asked))
        if isinstance(read, Unanswerable):
            return read
        if isinstance(read, Nothing):
            return self.no_rows()
        return self.shaped(asked, self.read(read))

    def untouched(self, answer: Answer | Nearest | Unanswerable) -> Any:
        """The answer, or why it is none: the server does not know what this transaction wrote."""
        unit = self.connection.unit
        if unit is None or isinstance(answer, Nothing | Unanswerable | Sorted) or not unit.touches(answer):
            return answer
        return Unanswerable(("rows beside those that this transaction wrote",))

    def no_rows(self) -> Iterator[Row] | Unanswerable:
        """What Django does with a query that it knows to be empty: nothing, unless an aggregate must have a
        row."""
        return iter(()) if self.elide_empty else Unanswerable(("an aggregate over no rows",))

    def read(self, read: Read | Sorted) -> Iterator[Row]:
        """The rows of one read."""
        cursor = self.connection.cursor()
        if not isinstance(read, Sorted):
            return iter(cursor.run(read))
        rows = list(cursor.run(read.read))
        for position, descending in reversed(read.orders):
            rows.sort(key=lambda row: nulls_first(row[position]), reverse=descending)
        stop = None if read.limit is None else read.offset + read.limit
        width = len(read.read.columns) - len(read.orders)
        return iter([row[:width] for row in rows[read.offset : stop]])

    def shaped(self, asked: Rows, rows: Iterator[Row]) -> Iterator[Row]:
        """Rows in select order."""
        near = asked.near
        sign = -1 if near is not None and near.measure is Measure.DOT_PRODUCT else 1
        getters = [getter(item, sign) for item in asked.shape]
        if list(asked.shape) == list(range(len(asked.select.columns))):
            return rows if near is None else (row[: len(asked.shape)] for row in rows)
        return (tuple(get(row) for get in getters) for row in rows)

    # --- aggregates

    def native_numbers(self, asked: Numbers) -> Iterator[Row] | Unanswerable:
        """One row of aggregates, from as many calls as they need."""
        sources: list[Any] = []
        for number in asked.numbers:
            source = self.untouched(plan(number.select if number.extreme is None else first_of(number)))
            if not isinstance(source, Unanswerable) and number.function not in (None, Function.COUNT):
                source = source if isinstance(source, Query | Nothing) else Unanswerable(("an aggregate by key",))
            if isinstance(source, Unanswerable):
                return Unanswerable((*asked.blame, *source.blame))
            sources.append(source)
        if asked.blame:
            return Unanswerable(asked.blame)
        if any(isinstance(source, Nothing) for source in sources):
            return self.no_rows()
        return iter([self.numbers(asked.numbers, sources)])

    def numbers(self, numbers: Sequence[Number], sources: Sequence[Any]) -> Row:
        """The values of aggregates over planned sources; SUM and AVG of nothing are NULL, as in SQL."""
        server: list[Aggregate] = []
        results: list[Callable[[Row], Any]] = []
        for number, source in zip(numbers, sources, strict=True):
            if number.extreme is not None:
                results.append(constantly(next((row[0] for row in self.read(source)), None)))
            elif isinstance(source, Get | Sorted):
                results.append(constantly(sum(1 for _ in self.read(source))))
            elif number.function is Function.SUM:
                server += [
                    Aggregate(source, Function.SUM, number.ref),
                    Aggregate(source, Function.AVG, number.ref),
                ]
                results.append(sum_or_null(len(server) - 2, number.ref))
            else:
                server.append(Aggregate(source, number.function or Function.COUNT, number.ref))
                results.append(itemgetter(len(server) - 1))
        row = self.connection.cursor().aggregate(server) if server else ()
        return tuple(result(row) for result in results)

    # --- the mirror

    def mirrored(self, asked: Rows | Numbers, blame: Sequence[str]) -> list[Row]:
        """The rows from the mirror, all of them (its tables are emptied before this returns)."""
        page, sliced = self.page(asked), self.inner
        if page is not None:
            unsliced = self.query.chain()
            unsliced.clear_limits()
            try:
                return self.run_in_mirror(self.connection.mirror.compiler(unsliced), blame, page)
            except NoSliceError:
                pass  # rows without a partner made the slice too short: SQLite slices
        return self.run_in_mirror(sliced, blame)

    def page(self, asked: Rows | Numbers) -> Page | None:
        """The slice that Firestore can take; none of rows that this transaction wrote."""
        page, unit = table_refs.page(self.inner.query, asked), self.connection.unit
        if page is None or unit is None or not isinstance(asked, Rows):
            return page
        return None if unit.touches(Query(asked.select.collection)) else page

    def run_in_mirror(self, inner: Any, blame: Sequence[str], page: Page | None = None) -> list[Row]:
        """The rows that SQLite finds."""
        self.inner = inner
        sql, params = inner.as_sql()
        self.adopt()
        with self.mirror_for(sql, params, blame, page=page):
            if isinstance(inner, compiler.SQLAggregateCompiler):
                row = inner.execute_sql(SINGLE)
                return [] if row is None else [tuple(row)]
            chunks = inner.execute_sql(MULTI)
            return [row for chunk in chunks for row in chunk]

    def tables(self) -> dict[str, Table]:
        """Every table that a query may name."""
        # `Q.check()` asks without a table, but for those of subqueries.
        named = [self.query.model] if self.query.model else table_refs.models(self.inner.query)
        registry = named[0]._meta.apps if named else apps
        models = registry.get_models(include_auto_created=True, include_swapped=True)
        parents = (parent for model in named for parent in model._meta.all_parents)
        return tables_of((*named, *parents, *models), self.connection)

    def mirror_for(
        self,
        sql: str,
        params: Sequence[Any],
        blame: Sequence[str],
        *,
        page: Page | None = None,
        versions_of: str | None = None,
        among: Any = None,
    ) -> AbstractContextManager[dict[Any, Any]]:
        """The mirror, loaded for a statement; `among` is the expression that it computes, if it is no query."""
        tables = self.tables()
        reading = table_refs.reading(self, self.inner.query if among is None else among)
        loaded: AbstractContextManager[dict[Any, Any]] = self.connection.mirror.loaded(
            sql, params, tables, reading, blame, page=page, versions_of=versions_of
        )
        return loaded

    # --- explain

    def explain_query(self) -> Iterator[str]:
        """The lane, what is asked of Firestore, and the bound on documents read."""
        info = self.query.explain_info
        self.connection.ops.explain_query_prefix(info.format, **info.options)
        asked = analysis.ask(self, self.setup())
        yield from describe(self, asked)


def first_of(number: Number) -> Select:
    """The row with the least or greatest value that is not null."""
    if number.extreme is None:
        raise TypeError("only Min and Max have an order")
    where = all_of([number.select.where, Compare(number.extreme.ref, Op.IS_NOT_NULL)])
    return replace(number.select, where=where, columns=(number.extreme.ref,), orders=(number.extreme,), limit=1)


def getter(item: Item, sign: int) -> Callable[[Row], Any]:
    """How a selected item is found in a row; `sign` is that of the distance, which comes last."""
    match item:
        case Constant(value):
            return constantly(value)
        case Distance():
            return lambda row: None if row[-1] is None else sign * row[-1]
        case position:
            return itemgetter(position)


def constantly(value: Any) -> Callable[[Row], Any]:
    """The same value for every row."""
    return lambda row: value


def sum_or_null(at: int, ref: Ref | None) -> Callable[[Row], Any]:
    """The sum at a position, null where the average after it says that nothing was summed.

    Beyond 64 bits Firestore's sum of integers is a double that is near it; SQLite refuses, in these words.
    """

    def result(row: Row) -> Any:
        if ref and ref.kind is Kind.INTEGER and isinstance(row[at], float) and abs(row[at]) >= 2.0**63:
            raise OperationalError(f"integer overflow: the sum of {ref.name!r} does not fit in 64 bits")
        return None if row[at + 1] is None else row[at]

    return result


def nulls_first(value: Any) -> tuple[bool, Any]:
    """A sort key that puts null before every value."""
    return (value is not None, value)


def check_locks(query: Any, connection: Any) -> None:
    """`select_for_update()` has a meaning inside `atomic()` only; what it cannot mean here is refused."""
    if not query.select_for_update:
        return
    if not connection.in_atomic_block:
        raise TransactionManagementError("select_for_update cannot be used outside of a transaction.")
    if query.select_for_update_nowait or query.select_for_update_skip_locked or query.select_for_update_of:
        raise NotSupportedError(
            "select_for_update() on Firestore takes no nowait, skip_locked or of: what a transaction reads is "
            "locked, all of it, and others wait until it ends."
        )


def _close(rows: Any) -> None:
    close = getattr(rows, "close", None)
    if close is not None:
        close()


def _without_text(function: Any) -> Any:
    """A JSON field's converter for values that are Python's already."""
    owner = getattr(function, "__self__", None)
    if not isinstance(owner, JSONField):
        return function
    if owner.decoder is None and function.__func__ is JSONField.from_db_value:
        return _json_value

    def from_text(value: Any, expression: Any, connection: Any) -> Any:
        text = None if value is None else json.dumps(None if value is JSON_NULL else value)
        return function(text, expression, connection)

    return from_text


def _json_value(value: Any, expression: Any, connection: Any) -> Any:
    return None if value is JSON_NULL else value
