"""Migrations. Firestore has no tables, so most operations do nothing, and the others rewrite documents.

A new column is written into every document, since Firestore's filters and orders exclude documents without the field. A
renamed column or table is copied. A removed column stays in the documents and is not read. If the primary key changes,
each document moves to its new id, in one commit per document.

An operation that failed halfway can be run again: it skips documents that it has rewritten. Values that cannot be
converted raise an error before anything is written. With `collect_sql` (`sqlmigrate`), operations are only described.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import Any, Final

from django.core.exceptions import FieldError, ValidationError
from django.db import DataError, IntegrityError, NotSupportedError, OperationalError
from django.db.backends.base import schema
from django.db.models import NOT_PROVIDED, AutoField, CheckConstraint, UniqueConstraint
from django.db.models.sql import InsertQuery
from tqdm import tqdm

from .catalog import RecordingEditor
from .constraints import audit
from .constraints.definitions import (
    KEY,
    Key,
    check,
    constraint_key,
    default_name,
    field_collation,
    is_marked,
    keys_with_renamed,
    names_fields,
    unique_keys,
    unique_together_key,
)
from .mirror.converters import from_sqlite
from .mirror.tables import tables_of
from .query.lowering import column_ref, may_lack
from .query.plan import Change, Compare, Delete, Group, Op, Put, Query, Update
from .rpc import codec
from .values.batching import batches
from .values.document_ids import document_id, document_id_or_none, document_key
from .values.marker_collections import lease_collection, marker_collection
from .values.types import DOCUMENT_ID, FIELDS, Kind, Ref

logger = logging.getLogger("django.db.backends.schema")

# Documents between two updates of the progress bar.
BATCH: Final = 500

NAMED: Final = 20
"""Maximum number of documents in an error message."""

Fields = Mapping[str, Any]
"""A document's stored fields: encoded values by name."""

related_fields: Final[Any] = vars(schema)["_related_non_m2m_objects"]
"""Django's pairs of foreign keys, before and after, that refer to a field, and those that refer to them in turn."""


class DropTable(str):
    """DROP TABLE, as Django's code makes it of `sql_delete_table`."""

    table: str


class DropTemplate(str):
    """`sql_delete_table`, whose result knows the table."""

    def __mod__(self, names: Any) -> str:
        made = DropTable(str(self).replace("%(table)s", names["table"]))
        made.table = names["table"].strip('"')
        return made


class DocumentEditor(schema.BaseDatabaseSchemaEditor):
    """Applies schema changes to existing documents."""

    connection: Any
    collect_sql: bool
    sql_delete_table = DropTemplate(schema.BaseDatabaseSchemaEditor.sql_delete_table)

    def __enter__(self) -> Any:
        self.deferred_sql: list[Any] = []
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Refuses deferred SQL, which only other code adds."""
        for sql in self.deferred_sql if exc_type is None else ():
            self.execute(str(sql))

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Refuses SQL, except a SELECT and this class's own statement for a table that is deleted."""
        logger.debug("%s; (params %r)", sql, params, extra={"params": params, "sql": sql})
        if isinstance(sql, DropTable):
            self._empty(sql.table)
            self.connection.introspection.catalog.tables[sql.table] = None
            return
        if self._describes(f"SQL, which Firestore refuses: {sql}"):
            return
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)

    def quote_value(self, value: Any) -> str:
        """A value for the descriptions of `collect_sql`."""
        return repr(value)

    def _describes(self, step: str) -> bool:
        """Adds the description of a step if `collect_sql` is set. Returns whether it is set."""
        if self.collect_sql:
            self.collected_sql.extend(f"-- {line}" for line in step.splitlines())
        return self.collect_sql

    # --- nothing to do: there are no tables or comments

    def create_model(self, model: Any) -> None:
        """A collection is created by its first document."""

    def add_index(self, model: Any, index: Any) -> None:
        """Only checks the expressions: `manage.py firestore_indexes --deploy` creates composite indexes."""
        self._compile(model, index)

    def _compile(self, model: Any, made: Any) -> None:
        """Raises Django's and SQLite's errors for the expressions of an index or a constraint."""
        if getattr(made, "expressions", ()):
            mirror = self.connection.mirror
            inner = mirror.connection
            sql = made.create_sql(model, inner.SchemaEditorClass(inner, collect_sql=True))
            mirror.try_index(tables_of([model], self.connection)[model._meta.db_table], str(sql), made.name)

    def remove_index(self, model: Any, index: Any) -> None:
        """Does nothing: see `add_index`."""

    def rename_index(self, model: Any, old_index: Any, new_index: Any) -> None:
        """Firestore's indexes have no names."""

    def _constraint_names(self, model: Any, column_names: Any = None, **wanted: Any) -> list[str]:
        """Names of the model's constraints and indexes. A model's state has no `index_together`: an index of several
        columns that is not in `Meta.indexes` has the name that Django gives those."""
        base: Any = super()
        with self.connection.introspection.described_by(model):
            names: list[str] = base._constraint_names(model, column_names, **wanted)
        is_index = wanted.get("index") and wanted.get("unique") is False
        made = self.connection.introspection.catalog.tables.get(model._meta.db_table)
        if made is not None and made.is_made:
            return names
        if not names and is_index and column_names is not None and len(column_names) > 1:
            return [base._create_index_name(model._meta.db_table, column_names, suffix="_idx")]
        return names

    def alter_index_together(self, model: Any, old_index_together: Any, new_index_together: Any) -> None:
        """See `add_index`."""

    def alter_db_table_comment(self, model: Any, old_db_table_comment: Any, new_db_table_comment: Any) -> None:
        """Collections have no comments."""

    def alter_db_tablespace(self, model: Any, old_db_tablespace: Any, new_db_tablespace: Any) -> None:
        """Collections have no tablespaces."""

    def remove_field(self, model: Any, field: Any) -> None:
        """The column stays in the documents and is not read. A many-to-many field's own collection is emptied."""
        if field.remote_field is not None and getattr(field.remote_field, "through", None):
            if field.remote_field.through._meta.auto_created:
                self.delete_model(field.remote_field.through)
        elif field.column is not None:
            self._delete_markers(_keys_with(model, field))

    # --- markers to write: unique constraints

    def add_constraint(self, model: Any, constraint: Any) -> None:
        """Writes the markers of a unique constraint. Raises IntegrityError with the rows that violate a constraint."""
        if isinstance(constraint, CheckConstraint) and not self._describes(
            f"check that all documents of {model._meta.db_table} fulfil {constraint.name}"
        ):
            audit.enforce_check(self.connection, model, check(model, constraint))
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
            self._compile(model, constraint)
            self._add_markers(model, [constraint_key(model, constraint)])

    def remove_constraint(self, model: Any, constraint: Any) -> None:
        """Deletes a unique constraint's markers."""
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
            self._delete_markers([Key(constraint.name, model)])  # its fields may have been renamed

    def alter_unique_together(self, model: Any, old_unique_together: Any, new_unique_together: Any) -> None:
        """Writes and deletes markers. See `add_constraint`."""
        old, new = ({tuple(names) for names in given} for given in (old_unique_together, new_unique_together))
        kept = {key.name for key in unique_keys(model)}
        gone = [unique_together_key(model, names) for names in old - new]
        self._delete_markers([key for key in gone if key.name not in kept])
        self._add_markers(model, [unique_together_key(model, names) for names in new - old])

    def _add_markers(self, model: Any, keys: Sequence[Key]) -> None:
        if keys and not self._describes(_of(keys, "write the markers of {name} for every document of {table}")):
            audit.enforce(self.connection, model, keys)

    def _delete_markers(self, keys: Sequence[Key]) -> None:
        if not keys or self._describes(_of(keys, "delete the markers of {name} of {table}")):
            return
        with self.connection.cursor() as cursor:
            for key in keys:
                named = Compare(KEY, Op.EQ, key.name)
                rows = self._rows(cursor, Query(marker_collection(key.table), (DOCUMENT_ID, KEY), named))
                ids = (id for id, name in rows if name == key.name)
                for batch in batches(ids, BATCH):
                    cursor.commit([Delete(marker_collection(key.table), id) for id in batch])

    # --- documents to rewrite

    def delete_model(self, model: Any) -> None:
        """Deletes the collection's documents and markers, and those of its many-to-many fields."""
        for field in model._meta.local_many_to_many:
            if field.remote_field.through._meta.auto_created:
                self.delete_model(field.remote_field.through)
        self._empty(model._meta.db_table)

    def _empty(self, table: str) -> None:
        if self._describes(f"delete every document of {table}, and its markers"):
            return
        with self.connection.cursor() as cursor:
            cursor.clear(table)
            cursor.clear(marker_collection(table))
            cursor.clear(lease_collection(table))

    def add_field(self, model: Any, field: Any) -> None:
        """Writes the default (the database's, Django's, or null) into every document."""
        if field.many_to_many or field.generated or field.db_type(self.connection) is None:
            return
        if may_lack(field):
            return
        table, ref = model._meta.db_table, column_ref(field, self.connection)
        if field.primary_key:
            self._move(model, field, lambda name, fields: self._new_key(table, field, name, fields.get(ref.path[0])))
            self._add_markers(getattr(field, "model", model), unique_keys(getattr(field, "model", model)))
            return
        if self._describes(f"write a default into {ref.name} of every document of {table}"):
            self._add_markers(model, _keys_with(model, field))
            return
        value = self._default(field)

        def write(name: str, fields: Fields) -> Change:
            self._refuse_null(table, field, name, value)
            return Update(table, name, (ref,), (value,))

        self._rewrite(table, (), write)
        self._add_markers(getattr(field, "model", model), _keys_with(model, field))

    def _new_key(self, table: str, field: Any, name: str, stored: Any) -> Any:
        """The value of a new primary key for a row, or its present value if its document has moved already."""
        ref = column_ref(field, self.connection)
        value = None if stored is None else codec.decode(stored, ref.kind)
        if value is not None and document_id_or_none(value, ref.kind) == name:
            return value
        if isinstance(field, AutoField):
            return self.connection.ops.new_auto_id(table)
        return field.get_db_prep_save(field.get_default(), connection=self.connection)

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        """Copies a renamed or retyped column, replaces nulls if null is no longer allowed, and moves the documents of a
        new primary key and the links of a many-to-many field."""
        base: Any = super()
        if not base._field_should_be_altered(old_field, new_field):
            return
        if self._is_many_to_many(old_field, new_field):
            base._alter_many_to_many(model, old_field, new_field, strict)
        elif _has_column(old_field, self.connection) and _has_column(new_field, self.connection):
            self._alter_column(model, old_field, new_field)

    def _is_many_to_many(self, old: Any, new: Any) -> bool:
        """Whether both fields are many-to-many fields with tables of their own. Raises Django's ValueErrors."""
        types = [field.db_parameters(connection=self.connection)["type"] for field in (old, new)]
        if any(kind is None and field.remote_field is None for kind, field in zip(types, (old, new), strict=True)):
            raise ValueError(
                f"Cannot alter field {old} into {new} - they do not properly define db_type "
                "(are you using a badly-written custom field?)"
            )
        throughs: list[Any] = [field.remote_field.through for field in (old, new)] if types == [None, None] else []
        if throughs and all(throughs):
            made = [bool(through._meta.auto_created) for through in throughs]
            if made[0] == made[1]:
                return made[0]
        if None in types:
            raise ValueError(
                f"Cannot alter field {old} into {new} - they are not compatible types "
                "(you cannot alter to or from M2M fields, or add or remove through= on M2M fields)"
            )
        if self._changes_generated(old, new):
            raise ValueError(
                f"Modifying GeneratedFields is not supported - the field {new} must be removed and re-added with the "
                "new definition."
            )
        return False

    def _changes_generated(self, old: Any, new: Any) -> bool:
        if old.generated != new.generated or (new.generated and old.db_persist != new.db_persist):
            return True
        if not new.generated:
            return False
        inner = self.connection.mirror.connection
        try:
            return bool(old.generated_sql(inner) != new.generated_sql(inner))
        except FieldError:
            return True  # the expression names a renamed field

    def _alter_column(self, model: Any, old_field: Any, new_field: Any) -> None:
        table = model._meta.db_table
        old, new = column_ref(old_field, self.connection), column_ref(new_field, self.connection)
        becomes_key = new_field.primary_key and not old_field.primary_key
        fills = old_field.null and not new_field.null
        copied = old.path != new.path or old.kind is not new.kind or fills or becomes_key
        if new_field.primary_key and copied:
            self._alter_key(model, old_field, new_field)
        elif copied and not new_field.generated:
            self._copy(table, old, new, new_field, fills=fills)
        owner = getattr(new_field, "model", model)
        before = _keys_with(model, old_field)
        after = [*_keys_with(model, new_field), *keys_with_renamed(owner, old_field, new_field)]
        kept, known = {key.name for key in after}, {key.name for key in before}
        kept |= {one.name for one in owner._meta.constraints if not names_fields(owner, one)}
        self._delete_markers([key for key in before if key.name not in kept])
        rewritten = copied or field_collation(old_field) != field_collation(new_field)
        self._add_markers(owner, [key for key in after if rewritten or key.name not in known])

    def _copy(self, table: str, old: Ref, new: Ref, new_field: Any, *, fills: bool = False) -> None:
        """Writes a column's values, converted, into another or the same one."""
        what = f"copy {old.name} to {new.name}" if old.path != new.path else f"convert {new.name}"
        if self._describes(f"{what} in every document of {table}{', with a default for null' if fills else ''}"):
            return
        default = self._default(new_field) if fills else None
        column = Ref(old.path, Kind.WIRE)

        def write(name: str, fields: Fields) -> Change:
            value = self._converted(table, new_field, name, fields.get(old.path[0]), old.kind)
            value = default if value is None else value
            if fills:
                self._refuse_null(table, new_field, name, value)
            return Update(table, name, (new,), (value,))

        if old.kind is not new.kind or (fills and default is None):
            self._try(table, column, write)
        self._rewrite(table, (column,), write)

    def _converted(self, table: str, field: Any, name: str, stored: Any, kind: Kind) -> Any:
        """The value of a field for a stored value of another kind. Converted values stay as they are."""
        new = column_ref(field, self.connection).kind
        value = None if stored is None else _decoded(stored, kind, new)
        if value is None or new is kind:
            return value
        try:
            return field.get_db_prep_save(field.to_python(value), connection=self.connection)
        except ValidationError as error:
            raise DataError(
                f"{table}.{field.column} of row {name!r} cannot be converted: "
                f"{' '.join(error.messages)} Change it, then migrate again."
            ) from error

    def _refuse_null(self, table: str, field: Any, name: str, value: Any) -> None:
        if value is None and not field.null:
            raise IntegrityError(
                f"NOT NULL constraint failed: {table}.{field.column}: row {name!r} has no value, and "
                "the field has no default. Set the value, or add a default to the field, then migrate again."
            )

    def _default(self, field: Any) -> Any:
        """The value for rows without one: the database default, computed once by SQLite, or else Django's default."""
        if field.db_default is NOT_PROVIDED:
            return self.effective_default(field)
        if not hasattr(field.db_default, "resolve_expression"):
            return field.get_db_prep_save(field.db_default, connection=self.connection)
        mirror, query = self.connection.mirror, InsertQuery(field.model)
        expression = field.db_default.resolve_expression(query, allow_joins=False, for_save=True)
        sql, params = mirror.compiler(query).compile(expression)
        [(value,)] = mirror.returning(f"SELECT {sql}", params)
        convert = from_sqlite(field, self.connection, mirror.connection)
        return value if value is None or convert is None else convert(value)

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        """Copies every document to the new collection, then empties the old one."""
        if old_db_table == new_db_table:
            return
        if not self.collect_sql and self.connection.introspection.is_known(new_db_table):
            raise OperationalError(f"there is already another table with this name: {new_db_table}")
        if self._describes(f"move every document of {old_db_table} to {new_db_table}"):
            self._add_markers_in(model, new_db_table)
            return
        self._rewrite(old_db_table, (FIELDS,), lambda name, fields: _put(new_db_table, name, fields))
        self._rewrite(old_db_table, (), lambda name, _: Delete(old_db_table, name))
        with self.connection.cursor() as cursor:
            cursor.clear(marker_collection(old_db_table))
            cursor.clear(lease_collection(old_db_table))
        self._add_markers_in(model, new_db_table)

    def _add_markers_in(self, model: Any, table: str) -> None:
        """Writes all markers for a table's new name, which the model may not have yet."""
        given, model._meta.db_table = model._meta.db_table, table
        try:
            self._add_markers(model, unique_keys(model))
        finally:
            model._meta.db_table = given

    # --- primary keys

    def _alter_key(self, model: Any, old_field: Any, new_field: Any) -> None:
        """Changes the primary key's values, ids and type, and the foreign keys that refer to it."""
        old, new = column_ref(old_field, self.connection), column_ref(new_field, self.connection)
        relations = [] if _is_unbound(old_field, new_field) else list(related_fields(old_field, new_field))
        owner = getattr(new_field, "model", model)
        if not old_field.primary_key:
            self._refuse_references(model, owner)
        table = model._meta.db_table

        def key(name: str, fields: Fields) -> Any:
            stored = fields.get(old.path[0], fields.get(new.path[0]))
            if stored is None and old_field.primary_key:
                stored = codec.value(document_key(name, old.kind), old.kind)
            return self._converted(table, new_field, name, stored, old.kind)

        self._move(model, new_field, key)
        if old.kind is new.kind:
            relations = []
        for before, after in relations:
            self._alter_reference(before.field, after.field)
        self._add_markers(owner, [*unique_keys(owner), *keys_with_renamed(owner, old_field, new_field)])
        for changed in dict.fromkeys(after.field.model for _, after in relations):
            self._add_markers(changed, unique_keys(changed))

    def _alter_reference(self, old_field: Any, new_field: Any) -> None:
        """Converts a foreign key whose target's type changed."""
        old, new = column_ref(old_field, self.connection), column_ref(new_field, self.connection)
        model = new_field.model
        if new_field.primary_key:
            self._move(
                model,
                new_field,
                lambda name, fields: self._converted(
                    model._meta.db_table, new_field, name, fields.get(old.path[0]), old.kind
                ),
            )
        else:
            self._copy(model._meta.db_table, old, new, new_field)

    def _refuse_references(self, old_model: Any, model: Any) -> None:
        """Raises NotSupportedError if rows refer to a primary key that another field replaces."""
        if self.collect_sql:
            return
        key = old_model._meta.pk
        for relation in old_model._meta.get_fields(include_hidden=True):
            if not relation.auto_created or relation.concrete or relation.many_to_many:
                continue
            field = relation.field
            if field.target_field != key:
                continue
            table, column = field.model._meta.db_table, column_ref(field, self.connection)
            with self.connection.cursor() as cursor:
                used = next(
                    iter(self._rows(cursor, Query(table, (DOCUMENT_ID,), Compare(column, Op.IS_NOT_NULL)))), None
                )
            if used is not None:
                raise NotSupportedError(
                    f"{model._meta.label} cannot get another primary key while rows refer to it: {table}.{column.name} "
                    f"of row {used[0]!r}. Nothing was written. Remove the foreign key, or fill a new one by RunPython."
                )

    def _move(self, model: Any, field: Any, key: Callable[[str, Fields], Any]) -> None:
        """Moves each document to the id of its new primary key. Raises IntegrityError before anything is written if two
        rows would have the same one."""
        table, ref = model._meta.db_table, column_ref(field, self.connection)
        if self._describes(f"move every document of {table} to the id of its {ref.name}"):
            return

        def write(name: str, fields: Fields) -> Change:
            value = key(name, fields)
            new = _new_id(table, field, value, ref.kind)
            if new == name:
                return Update(table, name, (ref,), (value,))
            stored = {**fields, ref.path[0]: codec.value(value, ref.kind)}
            return Group((_put(table, new, stored), Delete(table, name)))

        with closing(sqlite3.connect("")) as book:
            book.execute("CREATE TABLE moves (old TEXT PRIMARY KEY, new TEXT) WITHOUT ROWID")
            for name, fields in self._documents(table):
                value = key(name, fields)
                self._refuse_null(table, field, name, value)
                book.execute("INSERT INTO moves VALUES (?, ?)", (name, _new_id(table, field, value, ref.kind)))
            self._refuse_collisions(table, field, book)
        self._rewrite(table, (FIELDS,), write)

    def _refuse_collisions(self, table: str, field: Any, book: sqlite3.Connection) -> None:
        doubles = book.execute("SELECT new FROM moves GROUP BY new HAVING count(*) > 1 LIMIT 1").fetchone()
        if doubles is not None:
            rows = book.execute("SELECT old FROM moves WHERE new = ? LIMIT ?", (*doubles, NAMED)).fetchall()
            raise IntegrityError(
                f"UNIQUE constraint failed: {table}.{field.column}: rows {', '.join(repr(row[0]) for row in rows)} "
                "would have the same primary key. Nothing was written; change or delete rows, then migrate again."
            )
        taken = book.execute(
            "SELECT one.old, one.new FROM moves one JOIN moves other ON one.new = other.old "
            "WHERE one.old <> one.new AND other.old <> other.new LIMIT 1"
        ).fetchone()
        if taken is not None:
            raise NotSupportedError(
                f"Row {taken[0]!r} of {table!r} would move to {taken[1]!r}, where another row is that moves, too: one "
                "of them could be lost halfway. Nothing was written. Migrate through a third primary key."
            )

    # --- streams

    def _documents(self, table: str) -> Iterator[tuple[str, Fields]]:
        with self.connection.cursor() as cursor:
            yield from self._rows(cursor, Query(table, (DOCUMENT_ID, FIELDS)))

    def _try(self, table: str, column: Ref, write: Callable[[str, Fields], Change]) -> None:
        """Makes every write without sending it, so that errors are raised before anything is written."""
        with self.connection.cursor() as cursor:
            for name, stored in self._rows(cursor, Query(table, (DOCUMENT_ID, column))):
                write(name, {column.path[0]: stored})

    def _rewrite(self, table: str, columns: tuple[Ref, ...], write: Callable[[str, Fields], Change]) -> None:
        """Applies one write per document of a collection, with a progress bar on a terminal.

        `write` gets the document's id and its `columns`: `FIELDS`, or columns of `Kind.WIRE`.
        """
        every = Query(table, (DOCUMENT_ID, *columns))
        with self.connection.cursor() as cursor:
            rows = self._rows(cursor, every)
            first = list(islice(rows, 1))
            if not first:
                return
            with tqdm(desc=table, unit=" documents", disable=None) as bar:
                for batch in batches(chain(first, rows), BATCH):
                    cursor.commit([write(row[0], _fields(columns, row[1:])) for row in batch])
                    bar.update(len(batch))

    def _rows(self, cursor: Any, every: Query) -> Iterator[tuple[Any, ...]]:
        """All rows of a collection: a stream, or inside `atomic()` a list with the transaction's own writes."""
        return iter(cursor.run(every) if self.connection.unit is None else cursor.superset(every)[0])


class DatabaseSchemaEditor(RecordingEditor, DocumentEditor):
    """Applies schema changes to existing documents, and records them for introspection."""


def _keys_with(model: Any, field: Any) -> list[Key]:
    """The unique constraints that include a field. The field need not belong to a model."""
    owner = getattr(field, "model", model)
    own = default_name([field])
    keys = [key for key in unique_keys(owner) if field.column in key.columns and key.name != own]
    return [*keys, Key(own, owner, (field,))] if is_marked(field) else keys


def _has_column(field: Any, connection: Any) -> bool:
    return field.db_parameters(connection=connection)["type"] is not None


def _is_unbound(*fields: Any) -> bool:
    return not all(hasattr(field, "model") for field in fields)


def _of(keys: Sequence[Key], step: str) -> str:
    return "\n".join(step.format(name=key.name, table=key.table) for key in keys)


def _fields(columns: tuple[Ref, ...], values: Sequence[Any]) -> Fields:
    if columns == (FIELDS,):
        fields: Fields = values[0]
        return fields
    return {ref.path[0]: value for ref, value in zip(columns, values, strict=True)}


def _put(table: str, name: str, fields: Fields) -> Put:
    return Put(table, name, tuple(Ref((field,), Kind.WIRE) for field in fields), tuple(fields.values()))


def _decoded(stored: Any, kind: Kind, new: Kind) -> Any:
    """Decodes a stored value by its old kind, or by the new one if it was already converted."""
    try:
        return codec.decode(stored, kind)
    except (ValueError, TypeError):
        return codec.decode(stored, new)


def _new_id(table: str, field: Any, value: Any, kind: Kind) -> str:
    try:
        return document_id(value, kind)
    except ValueError as error:
        raise DataError(f"{table}.{field.column}={value!r} cannot be a document's id: {error}") from error
