"""UPDATE.

Rows selected by primary key are written at once. Other rows are read with their update times, which are preconditions
of the writes. Rows that changed in the meantime are selected again, so that no row is written that no longer matches,
and no lock is held. Inside `atomic()`, rows are locked when they are read. SQLite computes expressions (`F()`, `Case`,
database defaults) in the mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet, FieldError
from django.db import IntegrityError, NotSupportedError
from django.db.models.expressions import Case, Col, ColPairs, Combinable, CombinedExpression, Value
from django.db.models.sql import compiler

from ..errors import contention
from ..mirror.converters import from_sqlite
from ..query.lowering import Lowering, column_ref, key_fields, key_ref
from ..query.plan import Compare, Get, Increments, Op, Outcome, Update, rows_of
from ..statements import Text
from ..values import server_time
from ..values.document_ids import document_id_or_none, document_key, is_shortened
from ..values.types import Ref, plain
from .document_keys import id_of_key
from .insert_columns import refuse_invalid
from .returning import returned
from .target_rows import TargetRows, TargetRowsCompiler

Updates: TypeAlias = tuple[Sequence[Update], Sequence[Mapping[str, Any]]]
"""The writes of an UPDATE and, if unique columns are updated, the rows' stored values."""


class SQLUpdateCompiler(compiler.SQLUpdateCompiler, TargetRowsCompiler):
    """Updates matching rows: constants and increments natively, other expressions by SQLite."""

    query: Any
    written: dict[str, dict[str, Any]] | None = None
    """The new values of the written rows by id and column; None if they are not requested."""

    def execute_sql(self, result_type: str | None = None, *args: Any, **kwargs: Any) -> int:  # type: ignore[override]
        """The number of rows matched by the first update that is not empty."""
        self.pre_sql_setup()
        try:
            rows = self.connection.statement(self.text, self.update_rows)
        except EmptyResultSet:
            rows = None
        for related in self.query.get_related_updates():
            more = related.get_compiler(self.using).execute_sql(result_type)
            rows = more if rows is None and more else rows
        return rows or 0

    def pre_sql_setup(self) -> None:  # type: ignore[override]
        """A condition on joined tables becomes one on primary keys that a subquery selects.

        The tables are then those of the subquery. Otherwise each compilation would put it into another subquery, which
        Django cannot do for composite keys.
        """
        super().pre_sql_setup()
        base = self.query.get_initial_alias()
        self.query.reset_refcounts({base: self.query.alias_refcount[base]})

    def execute_returning_sql(self, returning_fields: Sequence[Any] | None) -> list[Sequence[Any]]:
        """The new values of `returning_fields` in each updated row; called from Django 6.0 on.

        The rows are empty where a value is not known: inside `atomic()` increments are computed by the commit. Django
        then reads a field when it is accessed.
        """
        if self.query.get_related_updates():
            raise NotImplementedError("An update that returns rows cannot have related updates.")
        self.written = {}
        count = self.execute_sql()
        fields = returning_fields or ()
        values = returned(self.connection, self.query.get_meta().db_table, fields, self.written.values())
        if values is None or len(self.written) != count:
            return [()] * count
        converters = self.get_converters([field.get_col(self.query.base_table) for field in fields])
        return [tuple(row) for row in (self.apply_converters(values, converters) if converters else values)]

    def text(self) -> Text:
        """The UPDATE in SQL."""
        query = self.query.clone()
        query.related_updates = {}  # statements of their own
        sql, params = self.connection.mirror.compiler(query).as_sql()
        if not sql:
            raise EmptyResultSet
        return sql, params

    def update_rows(self) -> int | None:
        """The number of updated rows, or None if this table has no columns to update."""
        values = [(field, self.value(field, value)) for field, _, value in self.query.values]
        if not values:
            return None
        if set(key_fields(self.query.model)).intersection(field for field, _ in values):
            raise NotSupportedError(
                "update() cannot set a primary key, since document ids cannot be changed: copy the row and delete it."
            )
        increments = {field: delta for field, value in values if (delta := increment(field, value)) is not None}
        constants = [(field, value) for field, value in values if field not in increments]
        if any(hasattr(value, "as_sql") for _, value in constants):
            if (rows := self.cases_by_pk(values)) is not None:
                return self.update_each(rows)
            return self.update_in_mirror(dict(values))
        return self.update_natively(constants, increments)

    def value(self, field: Any, value: Any) -> Any:
        """A database value, or a resolved expression."""
        if server_time.is_server_time(value):
            return server_time.server_time()
        if hasattr(value, "resolve_expression"):
            value = value.resolve_expression(self.query, allow_joins=False, for_save=True)
            _refuse_expression(field, value)
        elif hasattr(value, "prepare_database_save"):
            if not field.remote_field:
                raise TypeError(
                    f"Tried to update field {field} with a model instance, {value!r}. "
                    f"Use a value compatible with {field.__class__.__name__}."
                )
            value = value.prepare_database_save(field)
        return plain(field.get_db_prep_save(value, connection=self.connection))

    def update_natively(self, constants: Sequence[tuple[Any, Any]], increments: dict[Any, int | float]) -> int:
        """Updates with constants and increments, which do not depend on stored values."""
        try:
            for field, value in constants:
                refuse_invalid(field, value)
        except IntegrityError:
            if self.has_match():
                raise
            return 0  # no row matches, as in `save()` of a new row with its primary key set
        table = self.query.base_table
        columns = tuple(column_ref(field, self.connection) for field, _ in constants)
        values = tuple(value for _, value in constants)
        added = tuple((column_ref(field, self.connection), delta) for field, delta in increments.items())

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            targets = self.target_rows(query, watched)
            updates = [Update(table, name, columns, values, added, version) for name, version in targets.versioned()]
            return updates, targets.rows

        return self.retry_stale(writes, (*columns, *(ref for ref, _ in added)))

    def has_match(self) -> bool:
        """Whether any row matches."""
        key = key_ref(self.query.model, self.connection)
        try:
            return bool(self.target_rows(self.query, (key,)).ids)
        except EmptyResultSet:
            return False

    def cases_by_pk(self, values: Sequence[tuple[Any, Any]]) -> dict[str, dict[Any, Any]] | None:
        """The values by document id for an update like `bulk_update()`, whose values are Cases of constants by primary
        key; None for other updates. A server time is a value of every row."""
        rows: dict[str, dict[Any, Any]] = {}
        times = {field: value for field, value in values if server_time.places([value])}
        lowering = Lowering(self, self.query.base_table)
        key = self.query.get_meta().pk
        for field, value in values:
            if field in times:
                continue
            if not isinstance(value, Case) or not isinstance(value.default, Value) or value.default.value is not None:
                return None
            for when in value.cases:
                if (name := pk_condition_id(lowering, when.condition, key)) is None or not isinstance(
                    when.result, Value
                ):
                    return None
                if type(when.result) is Value:
                    constant = plain(field.get_db_prep_save(when.result.value, connection=self.connection))
                else:  # JSONNull, which is not the same as its value
                    constant = lowering.expression(when.result)
                rows.setdefault(name, dict(times)).setdefault(field, constant)
        return rows

    def update_each(self, rows: dict[str, dict[Any, Any]]) -> int:
        """Updates with different constants for each row."""
        table = self.query.base_table
        fields = list(dict.fromkeys(field for row in rows.values() for field in row))
        columns = tuple(column_ref(field, self.connection) for field in fields)
        nothing: dict[Any, Any] = {}

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            targets = self.target_rows(query, watched)
            updates = []
            for name, version in targets.versioned():
                values = tuple(rows.get(name, nothing).get(field) for field in fields)
                for field, value in zip(fields, values, strict=True):
                    refuse_invalid(field, value)
                updates.append(Update(table, name, columns, values, version=version))
            return updates, targets.rows

        return self.retry_stale(writes, columns)

    def update_in_mirror(self, given: Mapping[Any, Any]) -> int:
        """Updates with values that SQLite computes: runs the UPDATE in the mirror and writes its results.

        Constants are not passed to SQLite, which cannot represent all of them exactly (decimals with many digits).
        """
        constants = {field: value for field, value in given.items() if not hasattr(value, "as_sql")}
        computed = [field for field in given if field not in constants]
        fields = (*computed, *constants)
        columns = tuple(column_ref(field, self.connection) for field in fields)

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            updates: dict[str, Update] = {}
            for name, version, found in self.computed_in_mirror(query, computed):
                values = (*found, *constants.values())
                for field, value in zip(fields, values, strict=True):
                    refuse_invalid(field, value)
                updates[name] = Update(query.base_table, name, columns, values, version=version)
            versions = tuple(update.version for update in updates.values())
            targets = self.with_values(TargetRows(tuple(updates), versions), watched)
            return [updates[name] for name in targets.ids], targets.rows

        return self.retry_stale(writes, columns)

    def computed_in_mirror(self, query: Any, fields: Sequence[Any]) -> Iterator[tuple[str, Any, list[Any]]]:
        """Each row of an UPDATE that the mirror runs: its document id, its expected version, and its new values of
        `fields`, the only ones that are updated there."""
        mirror, keys = self.connection.mirror, key_fields(self.query.model)
        refs = [column_ref(field, self.connection) for field in keys]
        selected = (*keys, *fields)
        convert = [from_sqlite(field, self.connection, mirror.connection) for field in selected]
        update = query.clone()
        update.related_updates = {}
        update.values = [value for value in query.values if value[0] in fields]
        self.inner = mirror.compiler(update)
        sql, params = self.inner.as_sql()
        # An expression has no declared type, for which Python's sqlite3 would convert other values to False or None.
        sql = f"{sql} RETURNING " + ", ".join(f'+"{field.column}"' for field in selected)
        with self.mirror_for(sql, params, ("update() with an expression",), versions_of=query.base_table) as versions:
            rows = mirror.updated(sql, params, self.tables()[query.base_table])
        for row in rows:
            found = [value if f is None or value is None else f(value) for f, value in zip(convert, row, strict=True)]
            key = tuple(found[: len(keys)])
            [version] = self.expected_versions([versions[key]])
            yield id_of_key(key, refs), version, found[len(keys) :]

    def retry_stale(self, writes: Callable[[Any, tuple[Ref, ...]], Updates], columns: Sequence[Ref]) -> int:
        """The number of rows written. Rows that changed in the meantime are selected and written again.

        `writes` returns the updates of `columns` for a query's rows, and the rows' stored values.
        """
        query, count, deadline = self.query, 0, self.deadline()
        keys = self.markers.affected(ref.path[0] for ref in columns)
        watched = self.markers.columns(keys)
        while True:
            try:
                updates, before = writes(query, watched)
            except EmptyResultSet:
                return count
            changes = self.markers.updated(keys, updates, before) if keys else updates
            stale = []
            increments: Increments = {}
            for change, outcome in zip(changes, self.write(changes, increments), strict=True):
                if self.written is not None and outcome is Outcome.APPLIED:
                    self.written |= {row.id: _new_values(row, increments) for row in rows_of(change)}
                count += len(rows_of(change)) if outcome is Outcome.APPLIED else 0
                stale += [row.id for row in rows_of(change)] if outcome is Outcome.STALE else []
            if not stale:
                return count
            query = self.query.clone()
            query.add_filter("pk__in", self.key_values(stale))
            if not deadline.pause():
                raise contention(self.query.base_table)

    def key_values(self, ids: Sequence[str]) -> list[Any]:
        """The primary keys of documents. They are read where an id does not hold all of its key."""
        keys = tuple(column_ref(field, self.connection) for field in key_fields(self.query.model))
        if len(keys) == 1 and not any(map(is_shortened, ids)):
            return [document_key(id, keys[0].kind) for id in ids]
        rows = self.connection.plan_cursor().run(Get(self.query.base_table, tuple(ids), keys))
        return [row if len(row) > 1 else row[0] for row in rows]


def _new_values(row: Any, computed: Increments) -> dict[str, Any]:
    """The values that are known: what the server computes is not inside a transaction, or if the response was lost."""
    times = server_time.places(row.values)
    values = {
        ref.path[0]: value
        for place, (ref, value) in enumerate(zip(row.columns, row.values, strict=True))
        if place not in times
    }
    return values | dict(computed.get((row.collection, row.id), {}))


def _refuse_expression(field: Any, value: Any) -> None:
    if value.contains_aggregate:
        raise FieldError(f"Aggregate functions are not allowed in this query ({field.name}={value!r}).")
    if value.contains_over_clause:
        raise FieldError(f"Window expressions are not allowed in this query ({field.name}={value!r}).")
    if isinstance(value, ColPairs):
        raise FieldError(f"Composite primary keys expressions are not allowed in this query ({field.name}=F('pk')).")


def pk_condition_id(lowering: Lowering, condition: Any, key: Any) -> str | None:
    """The document id of a condition `pk=constant`; None for other conditions."""
    found = lowering.condition(condition)
    ref = key_ref(key.model, lowering.connection)
    if not isinstance(found, Compare) or found.ref != ref or found.op is not Op.EQ:
        return None
    return document_id_or_none(found.value, ref.kind)


def increment(field: Any, value: Any) -> int | float | None:
    """The amount that an expression adds to its own column, if a server-side increment has the same result as SQL.

    None for nullable columns (null + 1 is null in SQL and 1 in Firestore), and for columns that reject negative values.
    """
    if not isinstance(value, CombinedExpression) or value.connector not in (Combinable.ADD, Combinable.SUB):
        return None
    left, right = value.lhs, value.rhs
    if isinstance(left, Value) and value.connector == Combinable.ADD:
        left, right = right, left
    if not (isinstance(left, Col) and left.target == field and isinstance(right, Value)) or field.null:
        return None
    kind, amount = field.get_internal_type(), right.value
    if kind not in INCREMENT_FIELD_TYPES or isinstance(amount, bool):
        return None
    if not isinstance(amount, int) and not (kind == "FloatField" and isinstance(amount, float)):
        return None
    return -amount if value.connector == Combinable.SUB else amount


# Fields without a range check that an increment could violate.
INCREMENT_FIELD_TYPES: Final = frozenset({"IntegerField", "BigIntegerField", "SmallIntegerField", "FloatField"})
