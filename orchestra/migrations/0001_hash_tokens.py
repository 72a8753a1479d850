"""Replace the service's clear tokens by hashed ones, and remove them from the admin's log."""

from django.db import migrations

from memory.access import legacy


def hash_tokens(apps, schema_editor):
    """The tokens stay valid. Clients need not change."""
    legacy.adopt(schema_editor.connection.alias, apps.get_model("memory_access", "AccessToken"))
    legacy.hide_in_log(apps.get_model("admin", "LogEntry"), apps.get_model("contenttypes", "ContentType"))


class Migration(migrations.Migration):
    dependencies = [
        ("memory_access", "0002_reserve_names"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(hash_tokens, migrations.RunPython.noop)]
