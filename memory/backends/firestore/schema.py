"""Migrations. Firestore has no tables, so most operations do nothing, and the others rewrite documents.

A new column is written into every document, since Firestore's filters and orders exclude documents without the field. A
renamed column or table is copied. A removed column stays in the documents and is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, NotSupportedError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import NOT_PROVIDED, CheckConstraint, UniqueConstraint
from django.db.models.sql import InsertQuery
from tqdm import tqdm

from .constraints import audit
from .constraints.definitions import KEY, Key, check, constraint_key, unique_keys, unique_together_key
from .mirror.converters import from_sqlite
from .query.lowering import column_ref
from .query.plan import Compare, Delete, Op, Put, Query, Update, Write
from .values.batching import batches
from .values.document_ids import document_id
from .values.marker_collections import marker_collection
from .values.types import DOCUMENT_ID, Ref

# Documents between two updates of the progress bar.
BATCH: Final = 500


class DatabaseSchemaEditor(BaseDatabaseSchemaEditor):
    """Applies schema changes to existing documents."""

    connection: Any

    def __enter__(self) -> DatabaseSchemaEditor:
        self.deferred_sql: list[Any] = []
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """There is no deferred SQL."""

    def execute(self, sql: Any, params: Any = ()) -> None:
        raise NotSupportedError(f"Firestore does not support SQL in migrations ({str(sql)[:100]!r}): use RunPython.")

    # --- nothing to do: there are no tables or comments

    def create_model(self, model: Any) -> None:
        """A collection is created by its first document."""

    def add_index(self, model: Any, index: Any) -> None:
        """Does nothing: `manage.py firestore_indexes --deploy` creates composite indexes."""

    def remove_index(self, model: Any, index: Any) -> None:
        """See `add_index`."""

    def rename_index(self, model: Any, old_index: Any, new_index: Any) -> None:
        """Firestore's indexes have no names."""

    def alter_index_together(self, model: Any, old_index_together: Any, new_index_together: Any) -> None:
        """See `add_index`."""

    def alter_db_table_comment(self, model: Any, old_db_table_comment: Any, new_db_table_comment: Any) -> None:
        """Collections have no comments."""

    def alter_db_tablespace(self, model: Any, old_db_tablespace: Any, new_db_tablespace: Any) -> None:
        """Collections have no tablespaces."""

    def remove_field(self, model: Any, field: Any) -> None:
        """The column stays in the documents and is not read. A many-to-many field's own collection is emptied."""
        if field.remote_field is not None and getattr(field.remote_field, "through", None):
            self._delete_through(field)
        elif field.column is not None:
            self._delete_markers([key for key in unique_keys(model) if field.column in key.columns])

    def _delete_through(self, field: Any) -> None:
        if field.remote_field.through._meta.auto_created:
            self.delete_model(field.remote_field.through)

    # --- markers to write: unique constraints

    def add_constraint(self, model: Any, constraint: Any) -> None:
        """Writes the markers of a unique constraint. Raises IntegrityError with the rows that violate a constraint."""
        if isinstance(constraint, CheckConstraint):
            audit.enforce_check(self.connection, model, check(model, constraint))
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
            self._add_markers(model, [constraint_key(model, constraint)])

    def remove_constraint(self, model: Any, constraint: Any) -> None:
        """Deletes a unique constraint's markers."""
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
            self._delete_markers([constraint_key(model, constraint)])

    def alter_unique_together(self, model: Any, old_unique_together: Any, new_unique_together: Any) -> None:
        """Writes and deletes markers. See `add_constraint`."""
        old, new = ({tuple(names) for names in given} for given in (old_unique_together, new_unique_together))
        kept = {key.name for key in unique_keys(model)}
        gone = [unique_together_key(model, names) for names in old - new]
        self._delete_markers([key for key in gone if key.name not in kept])
        self._add_markers(model, [unique_together_key(model, names) for names in new - old])

    def _add_markers(self, model: Any, keys: Sequence[Key]) -> None:
        if keys:
            audit.enforce(self.connection, model, keys)

    def _delete_markers(self, keys: Sequence[Key]) -> None:
        with self.connection.cursor() as cursor:
            for key in keys:
                named = Compare(KEY, Op.EQ, key.name)
                rows = self._rows(cursor, Query(marker_collection(key.table), (DOCUMENT_ID, KEY), named))
                ids = (id for id, name in rows if name == key.name)
                for batch in batches(ids, BATCH):
                    cursor.commit([Delete(marker_collection(key.table), id) for id in batch])

    # --- documents to rewrite

    def delete_model(self, model: Any) -> None:
        """Deletes the collection's documents, and their markers."""
        with self.connection.cursor() as cursor:
            cursor.clear(model._meta.db_table)
            cursor.clear(marker_collection(model._meta.db_table))

    def add_field(self, model: Any, field: Any) -> None:
        """Writes the default (the database's, Django's, or null) into every document."""
        if field.many_to_many or field.generated or field.db_type(self.connection) is None:
            return
        ref = column_ref(field, self.connection)
        value = self._default(field)

        def write(name: str, row: tuple[Any, ...]) -> Write:
            self._refuse_null(model, field, name, value)
            return Update(model._meta.db_table, name, (ref,), (value,))

        self._rewrite(model, (), write)
        self._add_markers(model, [key for key in unique_keys(field.model) if field.column in key.columns])

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        """Copies a renamed or retyped column, and replaces nulls if null is no longer allowed."""
        if old_field.db_type(self.connection) is None or new_field.db_type(self.connection) is None:
            return
        old, new = column_ref(old_field, self.connection), column_ref(new_field, self.connection)
        fills = old_field.null and not new_field.null
        rewritten = old != new or fills
        if rewritten:
            self._copy(model, old, new, new_field, fills)
        before = [key for key in unique_keys(model) if old_field.column in key.columns]
        after = [key for key in unique_keys(new_field.model) if new_field.column in key.columns]
        kept, known = {key.name for key in after}, {key.name for key in before}
        self._delete_markers([key for key in before if key.name not in kept])
        self._add_markers(new_field.model, [key for key in after if rewritten or key.name not in known])

    def _copy(self, model: Any, old: Ref, new: Ref, new_field: Any, fills: bool) -> None:
        default = self._default(new_field) if fills else None

        def write(name: str, row: tuple[Any, ...]) -> Write:
            value = default if row[0] is None else self._converted(model, new_field, name, row[0])
            if fills:
                self._refuse_null(model, new_field, name, value)
            return Update(model._meta.db_table, name, (new,), (value,))

        self._rewrite(model, (old,), write)

    def _converted(self, model: Any, field: Any, name: str, value: Any) -> Any:
        try:
            return field.get_db_prep_save(field.to_python(value), connection=self.connection)
        except ValidationError as error:
            raise DataError(
                f"{model._meta.db_table}.{field.column} of row {name!r} cannot be converted: "
                f"{' '.join(error.messages)} Change it, then migrate again."
            ) from error

    def _refuse_null(self, model: Any, field: Any, name: str, value: Any) -> None:
        if value is None and not field.null:
            raise IntegrityError(
                f"NOT NULL constraint failed: {model._meta.db_table}.{field.column}: row {name!r} has no value, and "
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
        columns = tuple(
            column_ref(field, self.connection) for field in model._meta.local_concrete_fields if not field.generated
        )
        self._rewrite(model, columns, lambda name, row: Put(new_db_table, name, columns, row), collection=old_db_table)
        self._rewrite(model, (), lambda name, _: Delete(old_db_table, name), collection=old_db_table)
        with self.connection.cursor() as cursor:
            cursor.clear(marker_collection(old_db_table))
        self._add_markers(model, unique_keys(model))

    def _rewrite(
        self,
        model: Any,
        columns: tuple[Ref, ...],
        write: Callable[[str, tuple[Any, ...]], Write],
        collection: str | None = None,
    ) -> None:
        """Applies one write per document of a collection, with a progress bar on a terminal."""
        collection = collection or model._meta.db_table
        key = column_ref(model._meta.pk, self.connection)
        every = Query(collection, (key, *columns))
        with self.connection.cursor() as cursor:
            rows = self._rows(cursor, every)
            first = list(islice(rows, 1))
            if not first:
                return
            with tqdm(desc=collection, unit=" documents", disable=None) as bar:
                for batch in batches(chain(first, rows), BATCH):
                    cursor.commit([write(document_id(row[0], key.kind), row[1:]) for row in batch])
                    bar.update(len(batch))

    def _rows(self, cursor: Any, every: Query) -> Iterator[tuple[Any, ...]]:
        """All rows of a collection: a stream, or inside `atomic()` a list with the transaction's own writes."""
        return iter(cursor.run(every) if self.connection.unit is None else cursor.superset(every)[0])
