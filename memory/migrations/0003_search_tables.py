from django.db import migrations


class Migration(migrations.Migration):
    """Made tables and triggers for search on SQLite up to version 0.2; migration 0006 drops them."""

    dependencies = [
        ("memory", "0002_search"),
    ]

    operations = []
