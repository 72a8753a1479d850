"""Reserve the user names of existing users as their owner ids: their records keep their `user_id`."""

from itertools import islice

from django.conf import settings
from django.db import migrations

ROWS_AT_ONCE = 500


def reserve(apps, schema_editor):
    """Names are unique, so no two users get the same id. Users who have one already are left out."""
    using = schema_editor.connection.alias
    model = apps.get_model(settings.AUTH_USER_MODEL)
    owners = apps.get_model("memory_access", "Owner").objects.using(using)
    name = name_field()
    users = model._base_manager.using(using).order_by("pk").values_list("pk", name).iterator(ROWS_AT_ONCE)
    while some := list(islice(users, ROWS_AT_ONCE)):
        known = set(owners.filter(user_id__in=[pk for pk, _ in some]).values_list("user_id", flat=True))
        owners.bulk_create(
            [owners.model(id=str(text), user_id=pk) for pk, text in some if pk not in known], ignore_conflicts=True
        )


def name_field():
    """A historical model does not have the attributes of its class."""
    from django.contrib.auth import get_user_model

    return get_user_model().USERNAME_FIELD


class Migration(migrations.Migration):
    dependencies = [
        ("memory_access", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [migrations.RunPython(reserve, migrations.RunPython.noop, elidable=True)]
