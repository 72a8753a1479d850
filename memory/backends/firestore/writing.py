"""INSERT, UPDATE, DELETE.

Rows that are chosen by key are written at once. Rows that are chosen otherwise are read with their update
time and written on the condition that it still holds; those that changed meanwhile are chosen again. So a
row is never written that no longer matches, and no lock is held. Inside `atomic()` what is read is locked, and
rows that were chosen stay as they are. What SQL would compute (`F()`, `Case`, database defaults) is computed by
SQLite in the mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet, FieldError
from django.db import DataError, IntegrityError, NotSupportedError
from django.db.models.constants import OnConflict
from django.db.models.expressions import Case, Col, ColPairs, Combinable, CombinedExpression, Value
from django.db.models.sql import compiler

from . import by_key, question
from .calls import Deadline
from .converting import from_sqlite
from .errors import contention
from .insertion import Insertion, insertion, refuse_invalid
from .lowering import Lowering, column_ref
from .markers import Markers, by_column
from .names import document_id, document_key
from .plan import (
    DOCUMENT_ID,
    VERSION,
    Change,
    Compare,
    Create,
    Delete,
    Get,
    Op,
    Outcome,
    Ref,
    Update,
    optional,
    rows_of,
)
from .planner import Nothing, Unanswerable, plan
from .question import Numbers
from .reading import MIRROR, Row, SQLCompiler
from .upsert import Upsert


@dataclass(frozen=True, slots=True)
class Chosen:
    """Documents to write: their ids, and what they must not have changed from (None if only existence
    matters). `rows` are their values by column, of the columns that were asked for."""

    ids: tuple[str, ...]
    versions: tuple[Any, ...]
    rows: tuple[Mapping[str, Any], ...] = ()

    def versioned(self) -> Iterator[tuple[str, Any]]:
        """Each id with its version."""
        return zip(self.ids, self.versions, strict=True)


Updates: TypeAlias = tuple[Sequence[Update], Sequence[Mapping[str, Any]]]
"""What an UPDATE writes, and, if unique columns are among it, the rows as they were."""


def name_of(value: Any, key: Ref) -> str:
    """The id of a document. Raises DataError if none may be called so."""
    try:
        return document_id(value, key.kind)
    except ValueError as error:
        raise DataError(f"{key.name}={value!r} cannot be a document's id: {error}") from error


class Choosing(SQLCompiler):
    """Finds the rows that a write is for."""

    @cached_property
    def markers(self) -> Markers:
        """The markers of this table's unique columns."""
        return Markers(self.connection, self.query.model)

    def chosen(self, query: Any, columns: tuple[Ref, ...] = ()) -> Chosen:
        """The rows that match a query's conditions, now, with the values of `columns`."""
        if (id := by_key.written(query, self.connection)) is not None:
            return self.as_chosen(Chosen((id,), (None,)), columns)
        reader = question.keys_of(query).get_compiler(self.using)
        asked = question.ask(reader, reader.setup())
        if isinstance(asked, Numbers):
            raise TypeError("a query for keys asks for rows")
        key = asked.select.key
        answer = self.untouched(plan(replace(asked.select, columns=(key, VERSION, *columns))))
        if isinstance(answer, Unanswerable):
            return self.as_chosen(self.chosen_in_mirror(reader, key, answer.blame), columns)
        if isinstance(answer, Nothing):
            return Chosen((), ())
        if isinstance(answer, Get):
            return self.as_chosen(Chosen(answer.ids, (None,) * len(answer.ids)), columns)
        read = [row[: 2 + len(columns)] for row in reader.read(answer)]
        return Chosen(
            tuple(name_of(row[0], key) for row in read),
            self.guards(row[1] for row in read),
            tuple(by_column(columns, row[2:]) for row in read),
        )

    def guards(self, versions: Iterable[Any]) -> tuple[Any, ...]:
        """What rows must not have changed from since they were chosen: inside a transaction they cannot."""
        return tuple(versions if self.connection.unit is None else (None for _ in versions))

    def chosen_in_mirror(self, reader: SQLCompiler, key: Ref, blame: Sequence[str]) -> Chosen:
        """The rows by SQLite, with the update times that were read along."""
        reader.lane = MIRROR
        sql, params = reader.inner.as_sql()
        pk = reader.query.model._meta.pk
        with reader.mirror_for(sql, params, blame, versions_of=reader.query.base_table) as versions:
            rows = list(reader.inner.results_iter())
        keys = [pk.get_db_prep_save(row[0], connection=self.connection) for row in rows]
        return Chosen(tuple(name_of(value, key) for value in keys), self.guards(versions[value] for value in keys))

    def as_chosen(self, chosen: Chosen, columns: tuple[Ref, ...]) -> Chosen:
        """The same rows, less those that are gone, with the values of `columns`, and versions where they had none."""
        if not columns or not chosen.ids:
            return chosen
        table = self.query.get_meta().db_table
        found = {
            row[0]: row
            for row in self.connection.cursor().run(Get(table, chosen.ids, (DOCUMENT_ID, VERSION, *columns)))
        }
        kept = [
            (id, version or self.guards([found[id][1]])[0])
            for id, version in zip(chosen.ids, chosen.versions, strict=True)
            if id in found
        ]
        return Chosen(
            tuple(id for id, _ in kept),
            tuple(version for _, version in kept),
            tuple(by_column(columns, found[id][2:]) for id, _ in kept),
        )

    def deadline(self) -> Deadline:
        """Until when rows that others keep changing are chosen again, with pauses in between."""
        return Deadline(self.connection.option("timeout"))

    def write(self, writes: Sequence[Change]) -> list[Outcome]:
        """Applies writes, each for itself."""
        if not writes:
            return []
        with self.connection.lane("write"):
            outcomes: list[Outcome] = self.connection.cursor().commit(writes, isolate=True)
            return outcomes


class SQLDeleteCompiler(compiler.SQLDeleteCompiler, Choosing):
    """Deletes what matches, and counts what was there."""

    query: Any

    def execute_sql(self, result_type: str | None = None, *args: Any, **kwargs: Any) -> int:  # type: ignore[override]
        """The number of rows deleted."""
        table = self.query.get_meta().db_table
        columns = self.markers.columns(self.markers.keys)
        count, deadline = 0, self.deadline()
        while True:
            try:
                chosen = self.chosen(self.query, columns)
            except EmptyResultSet:
                return count
            deletes = [
                Delete(table, name, must_exist=version is None, version=version)
                for name, version in zip(chosen.ids, chosen.versions, strict=True)
            ]
            outcomes = self.write(self.markers.deleted(deletes, chosen.rows) if columns else deletes)
            count += outcomes.count(Outcome.APPLIED)
            if Outcome.STALE not in outcomes:
                return count
            if not deadline.pause():
                raise contention(table)


class SQLUpdateCompiler(compiler.SQLUpdateCompiler, Choosing):
    """Updates what matches: constants and increments directly, expressions by SQLite."""

    query: Any

    def execute_sql(self, result_type: str | None = None, *args: Any, **kwargs: Any) -> int:  # type: ignore[override]
        """The rows that matched the primary update (the first that is not empty)."""
        self.pre_sql_setup()
        rows = self.update_rows()
        for related in self.query.get_related_updates():
            more = related.get_compiler(self.using).execute_sql(result_type)
            rows = more if rows is None and more else rows
        return rows or 0

    def update_rows(self) -> int | None:
        """The rows updated, or None if this table has nothing to update."""
        values = [(field, self.value(field, value)) for field, _, value in self.query.values]
        if not values:
            return None
        if any(field.primary_key for field, _ in values):
            raise NotSupportedError(
                "A document's id cannot be changed, so update() cannot set a primary key: copy the row and delete it."
            )
        increments = {field: delta for field, value in values if (delta := increment(field, value)) is not None}
        constants = [(field, value) for field, value in values if field not in increments]
        if any(hasattr(value, "as_sql") for _, value in constants):
            if (rows := self.by_key(values)) is not None:
                return self.row_by_row(rows)
            return self.in_mirror(dict(values))
        return self.directly(constants, increments)

    def value(self, field: Any, value: Any) -> Any:
        """A value as the wire takes it, or a resolved expression."""
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
        return field.get_db_prep_save(value, connection=self.connection)

    def directly(self, constants: Sequence[tuple[Any, Any]], increments: dict[Any, int | float]) -> int:
        """Values that need no row to be known."""
        try:
            for field, value in constants:
                refuse_invalid(field, value)
        except IntegrityError:
            if self.matches():
                raise
            return 0  # no row would hold the value: `save()` of a new row with its key set asks like this
        table = self.query.base_table
        columns = tuple(column_ref(field, self.connection) for field, _ in constants)
        values = tuple(value for _, value in constants)
        added = tuple((column_ref(field, self.connection), delta) for field, delta in increments.items())

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            chosen = self.chosen(query, watched)
            made = [Update(table, name, columns, values, added, version) for name, version in chosen.versioned()]
            return made, chosen.rows

        return self.until_settled(writes, (*columns, *(ref for ref, _ in added)))

    def matches(self) -> bool:
        """Whether there is a row to update."""
        key = column_ref(self.query.get_meta().pk, self.connection)
        try:
            return bool(self.chosen(self.query, (key,)).ids)
        except EmptyResultSet:
            return False

    def by_key(self, values: Sequence[tuple[Any, Any]]) -> dict[str, dict[Any, Any]] | None:
        """The shape of `bulk_update`, where every field is a Case of constants by primary key: columns by id."""
        rows: dict[str, dict[Any, Any]] = {}
        lowering = Lowering(self, self.query.base_table)
        key = self.query.get_meta().pk
        for field, value in values:
            if not isinstance(value, Case) or not isinstance(value.default, Value) or value.default.value is not None:
                return None
            for when in value.cases:
                if (name := key_of(lowering, when.condition, key)) is None or not isinstance(when.result, Value):
                    return None
                constant = field.get_db_prep_save(when.result.value, connection=self.connection)
                rows.setdefault(name, {}).setdefault(field, constant)
        return rows

    def row_by_row(self, rows: dict[str, dict[Any, Any]]) -> int:
        """Constants that differ from row to row."""
        table = self.query.base_table
        fields = list(dict.fromkeys(field for row in rows.values() for field in row))
        columns = tuple(column_ref(field, self.connection) for field in fields)
        nothing: dict[Any, Any] = {}

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            chosen = self.chosen(query, watched)
            made = []
            for name, version in chosen.versioned():
                values = tuple(rows.get(name, nothing).get(field) for field in fields)
                for field, value in zip(fields, values, strict=True):
                    refuse_invalid(field, value)
                made.append(Update(table, name, columns, values, version=version))
            return made, chosen.rows

        return self.until_settled(writes, columns)

    def in_mirror(self, given: Mapping[Any, Any]) -> int:
        """Values that SQLite computes from the rows: its UPDATE is run on the copy, and what it returns is
        written. Constants are left out of it, as it has no exact form for some of them (decimals of many digits)."""
        constants = {field: value for field, value in given.items() if not hasattr(value, "as_sql")}
        fields = [field for field in given if field not in constants]
        key_field = self.query.get_meta().pk
        key = column_ref(key_field, self.connection)
        columns = tuple(column_ref(field, self.connection) for field in (*fields, *constants))
        returning = ", ".join(f'"{field.column}"' for field in (key_field, *fields))

        def writes(query: Any, watched: tuple[Ref, ...]) -> Updates:
            inner_query = query.clone()
            inner_query.related_updates = {}
            inner_query.values = [value for value in query.values if value[0] not in constants]
            self.inner = mirror.compiler(inner_query)
            sql, params = self.inner.as_sql()
            sql = f"{sql} RETURNING {returning}"
            blame = ("update() with an expression",)
            with self.mirror_for(sql, params, blame, versions_of=query.base_table) as versions:
                rows = mirror.returning(sql, params)
            convert = [from_sqlite(f, self.connection, mirror.connection) for f in (key_field, *fields)]
            made = {}
            for row in rows:
                first, *values = (
                    value if f is None or value is None else f(value) for f, value in zip(convert, row, strict=True)
                )
                values += constants.values()
                for field, value in zip((*fields, *constants), values, strict=True):
                    refuse_invalid(field, value)
                name = name_of(first, key)
                [version] = self.guards([versions[first]])
                made[name] = Update(query.base_table, name, columns, tuple(values), version=version)
            chosen = self.as_chosen(Chosen(tuple(made), tuple(one.version for one in made.values())), watched)
            return [made[name] for name in chosen.ids], chosen.rows

        mirror = self.connection.mirror
        return self.until_settled(writes, columns)

    def until_settled(self, writes: Callable[[Any, tuple[Ref, ...]], Updates], columns: Sequence[Ref]) -> int:
        """Rows written: those that changed meanwhile are chosen again, and no others.

        `writes` gives the updates of a query's rows, which write `columns`, and the rows as they were.
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
            for change, outcome in zip(changes, self.write(changes), strict=True):
                count += len(rows_of(change)) if outcome is Outcome.APPLIED else 0
                stale += [row.id for row in rows_of(change)] if outcome is Outcome.STALE else []
            if not stale:
                return count
            query = self.query.clone()
            query.add_filter("pk__in", [self.key_value(id) for id in stale])
            if not deadline.pause():
                raise contention(self.query.base_table)

    def key_value(self, name: str) -> Any:
        """The primary key's value of a document's id."""
        field = self.query.get_meta().pk
        return document_key(name, column_ref(field, self.connection).kind)


def _refuse_expression(field: Any, value: Any) -> None:
    if value.contains_aggregate:
        raise FieldError(f"Aggregate functions are not allowed in this query ({field.name}={value!r}).")
    if value.contains_over_clause:
        raise FieldError(f"Window expressions are not allowed in this query ({field.name}={value!r}).")
    if isinstance(value, ColPairs):
        raise FieldError(f"Composite primary keys expressions are not allowed in this query ({field.name}=F('pk')).")


def key_of(lowering: Lowering, condition: Any, key: Any) -> str | None:
    """The id of the document that a condition names, if it is `pk=constant` and no more."""
    found = lowering.condition(condition)
    ref = column_ref(key, lowering.connection)
    if not isinstance(found, Compare) or found.ref != ref or found.op is not Op.EQ:
        return None
    try:
        return document_id(found.value, ref.kind)
    except ValueError:
        return None


def increment(field: Any, value: Any) -> int | float | None:
    """What an expression adds to its own column, where the server can do that and SQL would agree.

    Not on a column that may be null (null + 1 is null to SQL and 1 to Firestore), nor on one that may not
    get negative.
    """
    if not isinstance(value, CombinedExpression) or value.connector not in (Combinable.ADD, Combinable.SUB):
        return None
    left, right = value.lhs, value.rhs
    if isinstance(left, Value) and value.connector == Combinable.ADD:
        left, right = right, left
    if not (isinstance(left, Col) and left.target == field and isinstance(right, Value)) or field.null:
        return None
    kind, amount = field.get_internal_type(), right.value
    if kind not in INCREMENTED or isinstance(amount, bool):
        return None
    if not isinstance(amount, int) and not (kind == "FloatField" and isinstance(amount, float)):
        return None
    return -amount if value.connector == Combinable.SUB else amount


class SQLInsertCompiler(compiler.SQLInsertCompiler, Choosing):
    """Creates documents; a document that exists already is an IntegrityError, or a conflict that was asked
    for."""

    query: Any

    def execute_sql(self, returning_fields: Sequence[Any] | None = None) -> list[Row]:  # type: ignore[override]
        """The values of `returning_fields` for each object."""
        shape = insertion(self.query.model, self.query.fields, self.connection)
        rows = self.rows_to_insert(shape)
        self.insert(shape, rows)
        if not returning_fields:
            return []
        values: Iterable[Any] = self.returned(returning_fields, shape.fields, rows)
        table = self.query.get_meta().db_table
        converters = self.get_converters([field.get_col(table) for field in returning_fields])
        if converters:
            values = self.apply_converters(values, converters)
        return [tuple(row) for row in values]

    def returned(self, wanted: Sequence[Any], fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """The values of columns that were inserted; what is generated from them is asked for."""
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
        """The values of each object: those that Django gives, and the ids that it leaves to us."""
        rows = [self.values(shape.given, obj) for obj in self.query.objs]
        if len(shape.fields) > len(shape.given):
            rows = [[None, *row] for row in rows]
        for position in shape.numbered:
            for row in rows:
                if row[position] is None:
                    row[position] = self.connection.ops.new_auto_id()
        self.compute(shape.fields, rows)
        return rows

    def values(self, fields: Sequence[Any], obj: Any) -> list[Any]:
        """An object's values as the database takes them; expressions are resolved, and still to be computed."""
        raw, connection = self.query.raw, self.connection
        values = [getattr(obj, field.attname) if raw else field.pre_save(obj, add=True) for field in fields]
        return [
            self.prepare_value(field, value)
            if hasattr(value, "resolve_expression")
            else field.get_db_prep_save(value, connection=connection)
            for field, value in zip(fields, values, strict=True)
        ]

    def compute(self, fields: Sequence[Any], rows: Sequence[list[Any]]) -> None:
        """Replaces expressions and database defaults by their values, computed by SQLite."""
        mirror = self.connection.mirror
        inner = None
        for row in rows:
            for position, (field, value) in enumerate(zip(fields, row, strict=True)):
                if not hasattr(value, "as_sql"):
                    continue
                inner = inner or mirror.compiler(self.query)
                sql, params = inner.compile(value)
                blame = (f"the value of {field.name}",)
                with self.mirror_for(f"SELECT {sql}", params, blame, among=value):
                    [(result,)] = mirror.returning(f"SELECT {sql}", params)
                convert = from_sqlite(field, self.connection, mirror.connection)
                row[position] = result if result is None or convert is None else convert(result)

    def insert(self, shape: Insertion, rows: Sequence[Sequence[Any]]) -> None:
        """Creates the documents, and settles conflicts as the query says."""
        for row in rows:
            shape.refuse_invalid(row)
        table = self.query.get_meta().db_table
        taken = f"UNIQUE constraint failed: {table}.{self.query.get_meta().pk.column}"
        writes = [Create(table, self.name(shape, row), shape.columns, tuple(row), taken) for row in rows]
        settle = self.query.on_conflict
        with self.connection.lane("write"):
            if settle is OnConflict.UPDATE:
                Upsert(self.connection, self.query, self.markers).run(writes)
            else:
                ignore = settle is OnConflict.IGNORE
                changes = self.markers.inserted(writes)
                self.connection.cursor().commit(list(map(optional, changes)) if ignore else changes, isolate=ignore)

    def name(self, shape: Insertion, row: Sequence[Any]) -> str:
        """The id of a row's document."""
        if shape.key is None:
            raise NotSupportedError(
                "Composite primary keys are not supported on Firestore: a document has one id. Use a text key."
            )
        return name_of(row[shape.key], shape.columns[shape.key])


# Fields whose columns may hold any number, so that an increment breaks no rule.
INCREMENTED: Final = frozenset({"IntegerField", "BigIntegerField", "SmallIntegerField", "FloatField"})
