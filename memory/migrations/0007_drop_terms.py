from django.db import migrations

# What migration 0003 made up to version 0.2, on SQLite.
TRIGGERS = (
    "memory_items_search_insert",
    "memory_items_search_terms",
    "memory_items_search_vector",
    "memory_items_search_delete",
)
INDEXES = ("memory_item_vectors_of_user", "memory_items_search_count")
TABLES = ("memory_item_terms", "memory_item_vectors")


def drop_search_tables(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for kind, names in (("TRIGGER", TRIGGERS), ("INDEX", INDEXES), ("TABLE", TABLES)):
            for name in names:
                schema_editor.execute(f"DROP {kind} IF EXISTS {name}")


class Migration(migrations.Migration):
    dependencies = [
        ("memory", "0006_session_times"),
    ]

    operations = [
        migrations.RunPython(drop_search_tables, migrations.RunPython.noop),
        migrations.RemoveField(model_name="memoryitem", name="terms"),
        migrations.RemoveField(model_name="memoryitem", name="terms_version"),
    ]
