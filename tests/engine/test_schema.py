"""Migrations and management commands on a database without tables."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.core.management import call_command
from django.db import DataError, IntegrityError, NotSupportedError, connection, connections, migrations, models
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now, Upper

from memory.backends.firestore.query.lowering import column_ref
from memory.backends.firestore.query.plan import Query
from tests.engine.app.models import Author, Everything, Note

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def stored(table: str, *fields: Any) -> list[tuple[Any, ...]]:
    """Columns of all documents, ordered by id."""
    refs = tuple(column_ref(field, connection) for field in fields)
    return list(connection.cursor().run(Query(table, refs)))


def thing(db_table: str = "thing", **fields: Any) -> Any:
    """A version of a model in its own app registry, like a migration's state."""
    meta = type("Meta", (), {"app_label": "engine", "db_table": db_table, "apps": Apps()})
    return type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


@pytest.fixture(autouse=True)
def no_things() -> Iterator[None]:
    """Empties the collection, since `flush` only empties collections of installed models."""
    yield
    for collection in ("thing", "moved"):
        connection.cursor().clear(collection)


def test_migrations_are_recorded(django_db_blocker: Any) -> None:
    """The recorder's collection is created with its first entry."""
    recorder = MigrationRecorder(connection)
    recorder.record_applied("engine", "0001_initial")
    assert ("engine", "0001_initial") in recorder.applied_migrations()
    assert "django_migrations" in connection.introspection.table_names()
    recorder.record_unapplied("engine", "0001_initial")
    assert ("engine", "0001_initial") not in recorder.applied_migrations()


def test_a_new_column_is_written_into_every_document() -> None:
    """With the default or null, since Firestore does not find documents that lack a field."""
    before = thing(name=models.CharField(max_length=10))
    with connection.schema_editor() as editor:
        editor.create_model(before)
    before.objects.bulk_create(before(name=str(i)) for i in range(700))
    stars, note = models.IntegerField(default=3), models.CharField(max_length=10, null=True)
    after = thing(name=models.CharField(max_length=10), stars=stars, note=note)
    with connection.schema_editor() as editor:
        editor.add_field(before, stars)
        editor.add_field(before, note)
    assert after.objects.filter(stars=3, note=None).count() == 700


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (models.IntegerField(db_default=7), 7),
        (models.CharField(max_length=9, db_default=Upper(models.Value("ab"))), "AB"),
        (models.DecimalField(max_digits=5, decimal_places=2, db_default=decimal.Decimal("1.50"), default=2), 1.5),
        (models.DateTimeField(db_default=Now()), datetime.datetime),
    ],
)
def test_a_new_column_takes_the_databases_default(field: Any, expected: Any) -> None:
    """As for rows that are inserted later. It takes precedence over Django's default, as in SQL."""
    before = thing()
    before.objects.bulk_create(before() for _ in range(2))
    after = thing(extra=field)
    with connection.schema_editor() as editor:
        editor.add_field(before, field)
    values = list(after.objects.values_list("extra", flat=True))
    assert len(values) == 2
    assert all(isinstance(value, expected) if isinstance(expected, type) else value == expected for value in values)


def test_a_column_without_null_needs_a_value_for_each_row() -> None:
    """As in SQL: without a value, an error names the row. An empty table needs no value."""
    old, new, more = models.IntegerField(null=True), models.IntegerField(), models.IntegerField()
    before = thing(stars=old)
    thing(stars=new, more=more)
    with connection.schema_editor() as editor:
        editor.add_field(before, more)
    before.objects.create(pk=5)
    with connection.schema_editor() as editor:
        with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: thing\.stars: row '0*5' has no value"):
            editor.alter_field(before, old, new)
        with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: thing\.more: row"):
            editor.add_field(before, more)
    assert stored("thing", old) == [(None,)]


def test_a_value_that_cannot_be_retyped_is_named() -> None:
    """The error names its row."""
    old, new = models.CharField(max_length=10), models.IntegerField()
    before = thing(stars=old)
    before.objects.create(pk=5, stars="many")
    thing(stars=new)
    message = r"thing\.stars of row '0*5' cannot be converted: .many. value must be"
    with pytest.raises(DataError, match=message), connection.schema_editor() as editor:
        editor.alter_field(before, old, new)


def test_renamed_columns_and_tables_are_copied() -> None:
    """Values are kept, and values of retyped columns are converted."""
    old = models.CharField(max_length=10)
    before = thing(name=old)
    before.objects.create(name="12")
    new = models.IntegerField()
    after = thing(number=new, db_table="moved")
    with connection.schema_editor() as editor:
        editor.alter_field(before, old, new)
        editor.alter_db_table(after, "thing", "moved")
    assert [row.number for row in after.objects.all()] == [12]
    assert stored("thing") == []


def test_null_is_filled_where_it_is_no_longer_allowed() -> None:
    """With the field's default, as in SQL."""
    old = models.IntegerField(null=True)
    before = thing(stars=old)
    before.objects.bulk_create([before(stars=None), before(stars=5)])
    new = models.IntegerField(default=1)
    thing(stars=new)
    with connection.schema_editor() as editor:
        editor.alter_field(before, old, new)
    assert sorted(value for (value,) in stored("thing", new)) == [1, 5]


def test_a_deleted_model_is_emptied() -> None:
    """A collection without documents does not exist."""
    model = thing(name=models.CharField(max_length=10))
    model.objects.create(name="x")
    assert "thing" in connection.introspection.table_names()
    with connection.schema_editor() as editor:
        editor.delete_model(model)
    assert "thing" not in connection.introspection.table_names()


def test_sql_in_migrations_is_refused() -> None:
    """The error says what to use instead."""
    with (
        pytest.raises(NotSupportedError, match="use an operation of django"),
        connection.schema_editor() as editor,
    ):
        editor.execute("ALTER TABLE x")


def test_dumpdata_and_loaddata_round_trip(tmp_path: Any) -> None:
    """Fixtures support all field types."""
    author = Author.objects.create(name="ann")
    Note.objects.create(id="n", author=author, data={"a": [[1]]})
    Everything.objects.create(pk=1, char="ü", decimal="1.5", binary=b"\x00")
    out = tmp_path / "all.json"
    call_command("dumpdata", "engine", output=str(out), verbosity=0)
    assert len(json.loads(out.read_text())) == 3
    call_command("flush", interactive=False, verbosity=0)
    assert Note.objects.count() == 0
    call_command("loaddata", str(out), verbosity=0)
    assert Note.objects.select_related("author").get().author.name == "ann"  # type: ignore[union-attr]
    assert Everything.objects.get().binary == b"\x00"


def test_inspectdb_lists_collections() -> None:
    """Without columns, since a collection has no types."""
    Author.objects.create(name="x")
    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    assert "db_table = 'engine_author'" in out.getvalue()


def test_checks_report_unsupported_key_types() -> None:
    """With a stable id. Unique columns are not reported."""
    field = models.CharField(max_length=10, unique=True)
    number = models.FloatField(primary_key=True)
    data = models.JSONField(primary_key=True)
    for one in (field, number, data):
        one.set_attributes_from_name("x")
        one.model = Note
    assert [m.id for m in connection.validation.check_field(field)] == []
    assert [m.id for m in connection.validation.check_field(number)] == []
    assert [m.id for m in connection.validation.check_field(data)] == ["firestore.E001"]


def test_iterator_reads_as_it_goes(calls: Callable[[], Any]) -> None:
    """`iterator()` does not read rows that are not requested."""
    Note.objects.bulk_create(Note(id=f"n{i:04}") for i in range(1200))
    rows = Note.objects.order_by("pk").iterator(chunk_size=10)
    with calls() as made:
        assert [next(rows).pk for _ in range(3)] == ["n0000", "n0001", "n0002"]
        rows.close()  # type: ignore[attr-defined]
    assert sum(call["documents_read"] for call in made) < 1200
    assert sum(1 for _ in Note.objects.iterator(chunk_size=100)) == 1200


def test_a_wide_filter_is_pushed_down_by_the_planner() -> None:
    """`explain()` of a merge lists each query."""
    text = Note.objects.filter(reads__in=range(60)).order_by("reads")[:5].explain()
    assert text.startswith("lane: native\nmerge 2 queries, the first 5\n")


@pytest.mark.parametrize(("name", "wrong"), [("a/b", True), ("__x__", True), ("a b.c", False)])
def test_a_table_that_can_be_no_collection_is_an_error(name: str, wrong: bool) -> None:
    """Reported by `check --database`, before the first row is written."""
    found = connection.validation.check_collection(thing(db_table=name))
    assert [message.id for message in found] == ["firestore.E003"] * wrong


def test_the_engine_brings_its_commands_without_the_app(tmp_path: Path) -> None:
    """`memory.backends.firestore` in INSTALLED_APPS is sufficient."""
    assert not apps.is_installed("memory")
    Author.objects.create(name="ann")
    out = io.StringIO()
    call_command("firestore_constraints", "auth.Group", "--check", stdout=out)
    assert "auth_group: 0 rows" in out.getvalue()
    path = tmp_path / "firestore.indexes.json"
    call_command("firestore_indexes", file=path, stdout=out)
    assert json.loads(path.read_text())["indexes"]
    call_command("firestore_indexes", "--check", file=path, stdout=out)


def test_a_renamed_field_of_a_constraint() -> None:
    """The constraint has the old name until the next operations replace it, as `makemigrations` writes them."""
    state = ProjectState()

    def apply(*operations: Any) -> None:
        made = type("Migration", (migrations.Migration,), {"operations": list(operations)})("m", "shelf")
        with connection.schema_editor() as editor:
            nonlocal state
            state = made.apply(state, editor)

    def shelf() -> Any:
        return state.apps.get_model("shelf", "Shelf").objects

    def constraint(*fields: str) -> Any:
        return models.UniqueConstraint(fields=fields, name="one_place")

    fields = [
        ("id", models.IntegerField(primary_key=True)),
        ("row", models.IntegerField()),
        ("at", models.IntegerField()),
    ]
    apply(migrations.CreateModel("Shelf", fields, options={"constraints": [constraint("row", "at", "id")]}))
    shelf().create(id=1, row=1, at=1)
    apply(migrations.RenameField("Shelf", "row", "place"))
    apply(migrations.RenameField("Shelf", "id", "number"))
    apply(migrations.AddField("Shelf", "name", models.CharField(max_length=5, null=True)))
    apply(migrations.RemoveConstraint("Shelf", "one_place"))
    apply(migrations.AddConstraint("Shelf", constraint("place", "at")))
    with pytest.raises(IntegrityError):
        shelf().create(number=2, place=1, at=1)
    shelf().create(number=2, place=1, at=2)


@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_generated_columns_and_conditions_with_like(alias: str) -> None:
    """`PRAGMA case_sensitive_like` makes LIKE a function that SQLite refuses there."""
    likes = models.GeneratedField(
        expression=models.Q(text__contains="50%_") | models.Q(text__istartswith="\\ab"),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    condition = models.UniqueConstraint(fields=["text"], condition=models.Q(text__endswith="x"), name="likes_x")
    meta = type("Meta", (), {"app_label": "likes", "constraints": [condition], "apps": Apps()})
    fields = {"id": models.IntegerField(primary_key=True), "text": models.TextField(), "likes": likes}
    model: Any = type("Liked", (models.Model,), {**fields, "__module__": __name__, "Meta": meta})
    with connections[alias].schema_editor() as editor:
        editor.create_model(model)
    texts = ["a 50%_ b", "a 50%. b", "\\ABC", "ab", "50%_\n"]
    model.objects.using(alias).bulk_create(model(id=number, text=text) for number, text in enumerate(texts))
    found = model.objects.using(alias).order_by("id").values_list("likes", flat=True)
    assert list(found) == [True, False, True, False, True]
    assert list(model.objects.using(alias).filter(likes=True).values_list("id", flat=True).order_by("id")) == [0, 2, 4]
    with connections[alias].schema_editor() as editor:
        editor.delete_model(model)
