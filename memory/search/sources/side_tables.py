"""The tables that search uses on SQLite: terms of items, and which items have a vector.

Triggers update both with every write of an item, also with raw SQL, in the same transaction. The migration operation
`SearchTables` makes them.

    memory_item_terms     one row for each term of an item, in the order in which search reads them
    memory_item_vectors   one row for each item with a vector; `seq` grows with every change of the row or the vector
"""

from __future__ import annotations

from typing import Final

from django.db import connections, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

TERMS: Final = "memory_item_terms"
VECTORS: Final = "memory_item_vectors"
INDEX_OF_VECTORS: Final = f"{VECTORS}_of_user"
INDEX_OF_COUNTS: Final = "memory_items_search_count"

TABLES: Final = (
    f"""CREATE TABLE IF NOT EXISTS {TERMS} (
        user_id TEXT NOT NULL, term TEXT NOT NULL, timestamp TEXT NOT NULL, item_id TEXT NOT NULL,
        PRIMARY KEY (user_id, term, timestamp, item_id)) WITHOUT ROWID""",
    f"""CREATE TABLE IF NOT EXISTS {VECTORS} (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL, model TEXT NOT NULL)""",
    f"CREATE INDEX IF NOT EXISTS {INDEX_OF_VECTORS} ON {VECTORS} (user_id, model, seq)",
    # Counts a user's items without reading them.
    f"CREATE INDEX IF NOT EXISTS {INDEX_OF_COUNTS} ON memory_items (user_id, expiration)",
)

_ADD_TERMS = f"""INSERT OR IGNORE INTO {TERMS} (user_id, term, timestamp, item_id)
    SELECT NEW.user_id, value, NEW.timestamp, NEW.id FROM json_each(NEW.terms);"""  # noqa: S608  (names, no values)
_DROP_TERMS = f"""DELETE FROM {TERMS} WHERE (user_id, term, timestamp, item_id) IN (
    SELECT OLD.user_id, value, OLD.timestamp, OLD.id FROM json_each(OLD.terms));"""  # noqa: S608
_ADD_VECTOR = f"""INSERT INTO {VECTORS} (item_id, user_id, model)
    SELECT NEW.id, NEW.user_id, NEW.embedding_model WHERE NEW.text_embedding IS NOT NULL;"""
_DROP_VECTOR = f"DELETE FROM {VECTORS} WHERE item_id = OLD.id;"  # noqa: S608
_CHANGED_TERMS = (
    "OLD.terms IS NOT NEW.terms OR OLD.timestamp IS NOT NEW.timestamp OR OLD.user_id IS NOT NEW.user_id"
    " OR OLD.id IS NOT NEW.id"
)
_CHANGED_VECTOR = (
    "OLD.text_embedding IS NOT NEW.text_embedding OR OLD.embedding_model IS NOT NEW.embedding_model"
    " OR OLD.user_id IS NOT NEW.user_id OR OLD.id IS NOT NEW.id"
)

TRIGGERS: Final = {
    "memory_items_search_insert": f"AFTER INSERT ON memory_items BEGIN {_ADD_TERMS} {_ADD_VECTOR} END",
    "memory_items_search_terms": (
        f"AFTER UPDATE ON memory_items WHEN {_CHANGED_TERMS} BEGIN {_DROP_TERMS} {_ADD_TERMS} END"
    ),
    "memory_items_search_vector": (
        f"AFTER UPDATE ON memory_items WHEN {_CHANGED_VECTOR} BEGIN {_DROP_VECTOR} {_ADD_VECTOR} END"
    ),
    "memory_items_search_delete": f"AFTER DELETE ON memory_items BEGIN {_DROP_TERMS} {_DROP_VECTOR} END",
}

FILL: Final = (
    f"DELETE FROM {TERMS}",  # noqa: S608
    f"DELETE FROM {VECTORS}",  # noqa: S608
    f"""INSERT OR IGNORE INTO {TERMS} (user_id, term, timestamp, item_id)
        SELECT user_id, value, timestamp, memory_items.id FROM memory_items, json_each(memory_items.terms)""",  # noqa: S608
    f"""INSERT INTO {VECTORS} (item_id, user_id, model)
        SELECT id, user_id, embedding_model FROM memory_items WHERE text_embedding IS NOT NULL""",  # noqa: S608
)


def statements() -> tuple[str, ...]:
    """SQL that makes the tables and triggers where they are missing, and fills the tables from the items."""
    return (
        *TABLES,
        *(f"DROP TRIGGER IF EXISTS {name}" for name in TRIGGERS),
        *(f"CREATE TRIGGER {name} {body}" for name, body in TRIGGERS.items()),
        *FILL,
    )


def removal() -> tuple[str, ...]:
    """SQL that removes the tables and triggers."""
    return (
        *(f"DROP TRIGGER IF EXISTS {name}" for name in TRIGGERS),
        *(f"DROP INDEX IF EXISTS {name}" for name in (INDEX_OF_VECTORS, INDEX_OF_COUNTS)),
        *(f"DROP TABLE IF EXISTS {name}" for name in (TERMS, VECTORS)),
    )


class SearchTables(Operation):
    """Makes the search tables and triggers on SQLite; does nothing on other databases.

    A database that has them already keeps its items: the tables are filled again. Every later migration that makes
    SQLite rebuild `memory_items` (`AlterField`, most of `AddField`) drops the triggers and must repeat this operation.
    """

    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Models do not change."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Make the tables and triggers, and fill the tables."""
        self._run(statements(), app_label, schema_editor, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Remove the tables and triggers."""
        self._run(removal(), app_label, schema_editor, to_state)

    def describe(self) -> str:
        """The line that `migrate --plan` prints."""
        return "Search tables and triggers (SQLite only)"

    @property
    def migration_name_fragment(self) -> str:
        """Names a migration with this operation alone."""
        return "search_tables"

    def _run(
        self, sql: tuple[str, ...], app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState
    ) -> None:
        connection = schema_editor.connection
        model = state.apps.get_model(app_label, "MemoryItem")
        if connection.vendor == "sqlite" and self.allow_migrate_model(connection.alias, model):
            for statement in sql:
                schema_editor.execute(statement, params=None)


def install(using: str) -> None:
    """Make the search tables of the database `using` where migrations do not run: `pytest --no-migrations`."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        with transaction.atomic(using=using), connection.cursor() as cursor:
            for statement in statements():
                cursor.execute(statement)
