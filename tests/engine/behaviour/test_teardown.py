"""What a TransactionTestCase costs after its test: the flush, and the permissions that post_migrate writes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from memory.backends.firestore.creation import flush_emulator
from memory.backends.firestore.rpc import channel
from memory.backends.firestore.testing import CaptureRPCsContext
from tests.engine.app.models import Note, Seat
from tests.engine.conftest import rows_of_post_migrate

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def rows_of_a_project(transactional_db: None) -> Iterator[None]:
    """Permissions and content types exist, and each flush writes them again. No other test has left documents."""
    flush_emulator(channel.target(connection.settings_dict))
    with rows_of_post_migrate(written=True):
        flush()
        if not ContentType.objects.exists():  # a flush of an empty database sends no post_migrate
            emit_post_migrate_signal(0, False, "default")
        yield


def flush() -> Counter[str]:
    """Flushes as Django's TransactionTestCase does. Returns the number of calls by method."""
    with CaptureRPCsContext(connection) as calls:
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
    return Counter(call["method"] for call in calls)


def test_a_flush_of_the_emulator_deletes_no_documents_one_by_one() -> None:
    """Also where migrations are recorded, which it keeps. The calls do not depend on the number of rows."""
    recorder = MigrationRecorder(connection)
    recorder.record_applied("engine", "0001_initial")
    before = recorder.applied_migrations()
    Note.objects.bulk_create(Note(id=f"n{i}") for i in range(600))
    Seat.objects.bulk_create([Seat(id="a", code="x")])
    made = flush()
    assert recorder.applied_migrations().keys() == before.keys()
    assert not Note.objects.exists()
    assert not Seat.objects.exists()
    Seat.objects.create(id="b", code="x")  # its marker is gone, too
    models = sum(1 for model in apps.get_models() if model._meta.managed)
    assert ContentType.objects.count() == models
    assert Permission.objects.count() == 4 * models
    configs = sum(1 for config in apps.get_app_configs() if config.models_module)
    assert made["Commit"] <= 1 + 2 * configs
    assert made["RunQuery"] <= 1 + 6 * configs
    assert made["ListCollectionIds"] == 2
    recorder.record_unapplied("engine", "0001_initial")


def test_rows_of_other_programs_are_kept() -> None:
    """A flush empties the collections of models, and no others."""
    with connection.cursor() as cursor:
        MigrationRecorder(connection).record_applied("engine", "0001_initial")
        connection.ops.execute_sql_flush(connection.ops.sql_flush(None, [Note._meta.db_table]))
        assert "django_content_type" in cursor.collections()
    MigrationRecorder(connection).record_unapplied("engine", "0001_initial")
