"""What SQLite needs so that search is fast there: an inverted table of terms, and a list of who has a vector.

Triggers keep both with every write of an item, by whatever path, in the same transaction. They are made after each
`migrate`, since a migration that makes `memory_items` anew drops its triggers; the tables are then filled again.

    memory_item_terms     one row for each term of an item, in the order in which search asks for them
    memory_item_vectors   one row for each item with a vector; `seq` grows with every change, also of the vector
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connections, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

TERMS: Final = "memory_item_terms"
VECTORS: Final = "memory_item_vectors"

TABLES: Final = (
    f"""CREATE TABLE IF NOT EXISTS {TERMS} (
        user_id TEXT NOT NULL, term TEXT NOT NULL, timestamp TEXT NOT NULL, item_id TEXT NOT NULL,
        PRIMARY KEY (user_id, term, timestamp, item_id)) WITHOUT ROWID""",
    f"""CREATE TABLE IF NOT EXISTS {VECTORS} (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, item_id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL, model TEXT NOT NULL)""",
    f"CREATE INDEX IF NOT EXISTS {VECTORS}_of_user ON {VECTORS} (user_id, model, seq)",
    # How many items a user has, without a look at the items.
    "CREATE INDEX IF NOT EXISTS memory_items_search_count ON memory_items (user_id, expiration)",
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


def install(using: str, **kwargs: Any) -> None:
    """Receiver of `post_migrate`: make the tables and triggers where they are missing, and fill them then."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    columns = _columns(connection)
    if not {"terms", "text_embedding"} <= columns:  # another database's, or before the migration that adds them
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'memory_items'")
        known = {name for (name,) in cursor.fetchall()}
        if known >= TRIGGERS.keys():
            return
        for statement in TABLES:
            cursor.execute(statement)
        for name, body in TRIGGERS.items():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(f"CREATE TRIGGER {name} {body}")
        for statement in FILL:
            cursor.execute(statement)


def _columns(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        if "memory_items" not in connection.introspection.table_names(cursor):
            return set()
        return {column.name for column in connection.introspection.get_table_description(cursor, "memory_items")}
