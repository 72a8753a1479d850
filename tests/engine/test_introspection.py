"""Introspection answers from the state of the applied migrations."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.migration import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from tests.engine.app.models import Author, Note

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def applied() -> Iterator[None]:
    """Records the first migrations of django.contrib.auth, whose user had a shorter name and no first-name limit, as
    a process finds them that has not migrated."""
    recorder = MigrationRecorder(connection)
    made = dict(connection.introspection.catalog.tables)
    connection.introspection.catalog.tables.clear()
    before = list(recorder.applied_migrations())
    recorder.migration_qs.all().delete()
    recorder.record_applied("contenttypes", "0001_initial")
    recorder.record_applied("auth", "0001_initial")
    yield
    recorder.migration_qs.all().delete()
    for name in before:
        recorder.record_applied(*name)
    connection.introspection.catalog.tables.update(made)


def test_tables_are_described_as_the_applied_migrations_left_them(applied: None) -> None:
    """Not as the installed models are: later migrations changed the lengths of these columns."""
    with connection.cursor() as cursor:
        user = {c.name: c for c in connection.introspection.get_table_description(cursor, "auth_user")}
        relations = connection.introspection.get_relations(cursor, "auth_permission")
        type_columns = connection.introspection.get_table_description(cursor, "django_content_type")
    assert (user["username"].type_code, user["username"].display_size) == ("CharField", 30)
    assert user["last_name"].display_size == 30
    assert not user["last_login"].null_ok
    assert relations["content_type_id"][:2] == ("id", "django_content_type")
    assert "name" in [column.name for column in type_columns]  # migration 0002 removes it


def test_tables_without_migrations_are_described_by_the_installed_models() -> None:
    """Also in a database that was migrated by an earlier version."""
    table = Note._meta.db_table
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
        assert [column.name for column in described] == [field.column for field in Note._meta.local_concrete_fields]
        assert connection.introspection.get_primary_key_columns(cursor, table) == ["id"]
        assert connection.introspection.get_relations(cursor, table)["author_id"][:2] == ("id", Author._meta.db_table)
        constraints = connection.introspection.get_constraints(cursor, table)
        assert connection.introspection.get_table_description(cursor, "unknown") == []
        assert connection.introspection.get_constraints(cursor, "unknown") == {}
    assert constraints["__primary__"]["primary_key"]
    assert [one["columns"] for one in constraints.values() if one["index"]] == [["author_id"]]


def test_inspectdb_writes_models() -> None:
    """With types, lengths, relations and the primary key."""
    Note.objects.create(id="a", author=Author.objects.create(name="ann"))
    out = io.StringIO()
    call_command("inspectdb", Author._meta.db_table, Note._meta.db_table, stdout=out)
    text = out.getvalue()
    assert "id = models.CharField(primary_key=True, max_length=100)" in text
    assert "author = models.ForeignKey(EngineAuthor, models.DO_NOTHING, blank=True, null=True)" in text
    assert "data = models.JSONField(blank=True, null=True)" in text
    assert "guess" not in text


def migrate(state: ProjectState, *operations: Any) -> ProjectState:
    """Applies operations to a state."""
    made = type("Migration", (Migration,), {"operations": list(operations)})("m", "shelf")
    with connection.schema_editor() as editor:
        return made.apply(state, editor)


def test_indexes_without_a_name_can_be_renamed() -> None:
    """Those of `index_together`, which a migration names by its fields."""
    fields = [
        ("id", models.AutoField(primary_key=True)),
        ("row", models.IntegerField()),
        ("place", models.IntegerField()),
    ]
    together = {"index_together": {("row", "place")}}
    state = migrate(ProjectState(), migrations.CreateModel("Book", fields, options=together))
    state = migrate(state, migrations.RenameIndex("Book", new_name="by_place", old_fields=("row", "place")))
    assert [index.name for index in state.models["shelf", "book"].options["indexes"]] == ["by_place"]
    model = state.apps.get_model("shelf", "book")
    with connection.schema_editor() as editor:
        assert editor._constraint_names(model, ["row", "place"], index=True, unique=False) == ["by_place"]
