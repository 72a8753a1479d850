"""Migrations: Firestore has no tables, so most of a migration is nothing, and the rest rewrites documents.

A new column is written into every document, since Firestore's filters and orders do not see documents that
lack a field. A renamed column or table is copied. What is dropped from a model stays in the documents,
unread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from typing import Any, Final

from django.db import NotSupportedError
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from tqdm import tqdm

from .batching import batches
from .lowering import column_ref
from .names import document_id
from .plan import Delete, Put, Query, Ref, Update, Write

# Documents rewritten between two looks at the progress bar.
BATCH: Final = 500


class DatabaseSchemaEditor(BaseDatabaseSchemaEditor):
    """Applies what a migration means for documents that exist."""

    connection: Any

    def __enter__(self) -> DatabaseSchemaEditor:
        self.deferred_sql: list[Any] = []
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        """Nothing was deferred."""

    def execute(self, sql: Any, params: Any = ()) -> None:
        raise NotSupportedError(f"Firestore has no SQL, so a migration cannot run {str(sql)[:100]!r}: use RunPython.")

    # --- nothing to do: there are no tables, constraints or comments

    def create_model(self, model: Any) -> None:
        """A collection is there with its first document."""

    def add_index(self, model: Any, index: Any) -> None:
        """Composite indexes are deployed by `manage.py firestore_indexes --deploy`."""

    def remove_index(self, model: Any, index: Any) -> None:
        """See `add_index`."""

    def rename_index(self, model: Any, old_index: Any, new_index: Any) -> None:
        """Firestore's indexes have no names."""

    def add_constraint(self, model: Any, constraint: Any) -> None:
        """Constraints are checked by the model's validation only."""

    def remove_constraint(self, model: Any, constraint: Any) -> None:
        """See `add_constraint`."""

    def alter_unique_together(self, model: Any, old_unique_together: Any, new_unique_together: Any) -> None:
        """See `add_constraint`."""

    def alter_index_together(self, model: Any, old_index_together: Any, new_index_together: Any) -> None:
        """See `add_index`."""

    def alter_db_table_comment(self, model: Any, old_db_table_comment: Any, new_db_table_comment: Any) -> None:
        """Collections have no comments."""

    def alter_db_tablespace(self, model: Any, old_db_tablespace: Any, new_db_tablespace: Any) -> None:
        """Collections have no tablespaces."""

    def remove_field(self, model: Any, field: Any) -> None:
        """The column stays in the documents, unread; a many-to-many's own collection is emptied."""
        if field.remote_field is not None and getattr(field.remote_field, "through", None):
            self._delete_through(field)

    def _delete_through(self, field: Any) -> None:
        if field.remote_field.through._meta.auto_created:
            self.delete_model(field.remote_field.through)

    # --- documents to rewrite

    def delete_model(self, model: Any) -> None:
        """Deletes the collection's documents."""
        with self.connection.cursor() as cursor:
            cursor.clear(model._meta.db_table)

    def add_field(self, model: Any, field: Any) -> None:
        """Writes the default (or null) into every document."""
        if field.many_to_many or field.generated or field.db_type(self.connection) is None:
            return
        ref = column_ref(field, self.connection)
        value = self.effective_default(field)
        self._rewrite(model, (), lambda name, _: Update(model._meta.db_table, name, (ref,), (value,)))

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        """Copies a renamed or retyped column, and fills nulls where null is no longer allowed."""
        if old_field.db_type(self.connection) is None or new_field.db_type(self.connection) is None:
            return
        old, new = column_ref(old_field, self.connection), column_ref(new_field, self.connection)
        fills = old_field.null and not new_field.null
        if old == new and not fills:
            return
        default = self.effective_default(new_field) if fills else None

        def write(name: str, row: tuple[Any, ...]) -> Write:
            value = default if row[0] is None else self._converted(new_field, row[0])
            return Update(model._meta.db_table, name, (new,), (value,))

        self._rewrite(model, (old,), write)

    def _converted(self, field: Any, value: Any) -> Any:
        return field.get_db_prep_save(field.to_python(value), connection=self.connection)

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        """Copies every document to the new collection, then empties the old one."""
        if old_db_table == new_db_table:
            return
        columns = tuple(
            column_ref(field, self.connection) for field in model._meta.local_concrete_fields if not field.generated
        )
        self._rewrite(model, columns, lambda name, row: Put(new_db_table, name, columns, row), collection=old_db_table)
        self._rewrite(model, (), lambda name, _: Delete(old_db_table, name), collection=old_db_table)

    def _rewrite(
        self,
        model: Any,
        columns: tuple[Ref, ...],
        write: Callable[[str, tuple[Any, ...]], Write],
        collection: str | None = None,
    ) -> None:
        """One write for each document of a collection, with a progress bar on a terminal."""
        collection = collection or model._meta.db_table
        key = column_ref(model._meta.pk, self.connection)
        every = Query(collection, (key, *columns))
        with self.connection.cursor() as cursor:
            # Inside `atomic()` with what it wrote, which does not fit any stream.
            rows = cursor.run(every) if self.connection.unit is None else iter(cursor.superset(every)[0])
            first = list(islice(rows, 1))
            if not first:
                return
            with tqdm(desc=collection, unit=" documents", disable=None) as bar:
                for batch in batches(chain(first, rows), BATCH):
                    cursor.commit([write(document_id(row[0], key.kind), row[1:]) for row in batch])
                    bar.update(len(batch))
