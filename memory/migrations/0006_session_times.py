"""On Firestore the times of sessions become numbers, which writes of items move without a read."""

from typing import Any

from django.db import migrations
from django.utils import timezone

from memory.fields import BoundField, SparseMapField

SESSIONS_AT_ONCE = 300


def rewrite(apps: Any, schema_editor: Any) -> None:
    """Store the times of each session in their new form."""
    if schema_editor.connection.vendor != "firestore":
        return
    sessions = apps.get_model("memory", "UserSession")._base_manager.using(schema_editor.connection.alias)
    last = ""
    while some := list(sessions.filter(pk__gt=last).order_by("pk")[:SESSIONS_AT_ONCE]):
        sessions.bulk_update(some, ["started_at", "last_activity"])
        last = some[-1].pk


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("memory", "0005_search_segments")]

    operations = [
        migrations.AlterField("usersession", "started_at", BoundField("started", default=timezone.now)),
        migrations.AlterField("usersession", "last_activity", BoundField("last activity", default=timezone.now)),
        migrations.AlterField("usersession", "metadata", SparseMapField("metadata")),
        migrations.RunPython(rewrite, migrations.RunPython.noop),
    ]
