from django.db import migrations

from memory.search.sources.side_tables import SearchTables


class Migration(migrations.Migration):
    dependencies = [
        ("memory", "0002_search"),
    ]

    operations = [SearchTables()]
