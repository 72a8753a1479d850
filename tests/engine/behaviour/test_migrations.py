"""Migrations that move documents: links of many-to-many fields, primary keys, and what `sqlmigrate` leaves alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import DataError, IntegrityError, NotSupportedError, connection, migrations, models
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState
from django.db.models import CASCADE, functions

from tests.engine.app.models import Author, Seat

pytestmark = pytest.mark.django_db(transaction=True)


class History:
    """Operations that are applied one after the other, and the models that they leave."""

    def __init__(self, *operations: Any) -> None:
        self.states = [ProjectState()]
        self.apply(*operations)

    def apply(self, *operations: Any, collect_sql: bool = False) -> list[str]:
        """Migrates; what `sqlmigrate` would print with `collect_sql`."""
        state = self.states[-1].clone()
        made = type("Migration", (Migration,), {"operations": list(operations)})("m", "moves")
        with connection.schema_editor(collect_sql=collect_sql) as editor:
            made.apply(state, editor, collect_sql=collect_sql)
        if collect_sql:
            return list(editor.collected_sql)
        self.states.append(state)
        return []

    def undo(self, operation: Any) -> None:
        """Migrates back by an operation."""
        made = type("Migration", (Migration,), {"operations": [operation]})("m", "moves")
        with connection.schema_editor() as editor:
            made.unapply(self.states[-2].clone(), editor)
        self.states.pop()

    def __getattr__(self, name: str) -> Any:
        """A model's manager."""
        return self.states[-1].apps.get_model("moves", name)._default_manager


@pytest.fixture(autouse=True)
def no_moves() -> Iterator[None]:
    """Empties the collections of models that exist in migrations only."""
    yield
    with connection.cursor() as cursor:
        for collection in cursor.collections():
            if collection.startswith(("moves", "odd")):
                cursor.clear(collection)


def item(**fields: Any) -> Any:
    """The operation that makes the model `Item`."""
    return migrations.CreateModel("Item", list(fields.items()))


def part(**options: Any) -> Any:
    """The operation that makes a model that refers to `Item`."""
    key = models.ForeignKey("moves.Item", CASCADE, null=True, **options)
    return migrations.CreateModel("Part", [("id", models.BigAutoField(primary_key=True)), ("item", key)])


@pytest.fixture
def linked() -> History:
    """A person with a city and a friend."""
    made = History(
        migrations.CreateModel("City", [("id", models.BigAutoField(primary_key=True))]),
        migrations.CreateModel(
            "Person",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("cities", models.ManyToManyField("moves.City")),
                ("friends", models.ManyToManyField("moves.Person")),
            ],
        ),
    )
    person, friend = made.Person.create(id=1), made.Person.create(id=2)
    person.cities.add(made.City.create(id=7))
    person.friends.add(friend)
    return made


@pytest.mark.parametrize(
    ("operation", "person", "cities"),
    [
        (migrations.RenameModel("City", "Town"), "Person", "cities"),
        (migrations.RenameModel("Person", "Human"), "Human", "cities"),
        (migrations.RenameField("Person", "cities", "towns"), "Person", "towns"),
        (
            migrations.AlterField("Person", "cities", models.ManyToManyField("moves.City", db_table="odd links")),
            "Person",
            "cities",
        ),
        (migrations.AlterModelTable("Person", "odd_person"), "Person", "cities"),
    ],
)
def test_links_are_kept(linked: History, operation: Any, person: str, cities: str) -> None:
    """Forwards and backwards, with the markers that keep a link from being there twice."""

    def links(name: str, field: str) -> Any:
        manager = getattr(linked, name)
        found = manager.order_by("pk").values_list("pk", field, "friends")
        first = manager.get(pk=1)
        getattr(first, field).add(7)
        return list(found), getattr(first, field).through._default_manager.count()

    expected = ([(1, 7, 2), (2, None, None)], 1)
    linked.apply(operation)
    assert links(person, cities) == expected
    linked.undo(operation)
    assert links("Person", "cities") == expected


def test_links_go_with_their_model(linked: History) -> None:
    """A deleted model leaves none behind."""
    linked.apply(migrations.DeleteModel("Person"))
    with connection.cursor() as cursor:
        assert [name for name in cursor.collections() if name.startswith("moves_person")] == []


def test_columns_that_the_model_lacks_move_with_their_documents() -> None:
    """A collection is renamed with all that its documents hold."""
    history = History(item(id=models.IntegerField(primary_key=True), old=models.CharField(max_length=9)))
    history.Item.create(id=1, old="kept")
    history.apply(migrations.RemoveField("Item", "old"), migrations.AlterModelTable("Item", "moves_other"))
    history.apply(migrations.RenameField("Item", "id", "num"))
    with connection.cursor() as cursor:
        assert "moves_item" not in cursor.collections()
    history.states.append(History(item(id=models.IntegerField(primary_key=True))).states[-1])
    assert history.states[-3].apps.get_model("moves", "Item")._default_manager.get().pk == 1


def test_another_field_becomes_the_primary_key() -> None:
    """Documents move to the ids of the new key."""
    history = History(item(id=models.BigAutoField(primary_key=True), code=models.CharField(max_length=9, unique=True)))
    history.Item.bulk_create(history.Item.model(code=code) for code in "ab")
    change = migrations.AlterField("Item", "code", models.CharField(max_length=9, primary_key=True))
    history.apply(migrations.RemoveField("Item", "id"), change)
    assert sorted(history.Item.in_bulk(["a", "b"])) == ["a", "b"]
    row = history.Item.get(code="a")
    row.save()
    assert history.Item.count() == 2
    assert row.delete()[0] == 1
    with connection.cursor() as cursor:
        assert "moves_item:unique" not in cursor.collections()


def test_a_primary_key_of_another_type_takes_its_references_along() -> None:
    """Foreign keys, keys of inherited models, links and markers."""
    history = History(
        item(id=models.IntegerField(primary_key=True), code=models.CharField(max_length=9, unique=True)),
        migrations.CreateModel(
            "Part",
            [
                ("item", models.OneToOneField("moves.Item", CASCADE, primary_key=True)),
                ("others", models.ManyToManyField("moves.Item", related_name="+")),
                ("best", models.ForeignKey("moves.Item", CASCADE, related_name="+", unique=True)),
            ],
        ),
    )
    first = history.Item.create(id=7, code="a")
    history.Part.create(item=first, best=first).others.add(first)
    change = migrations.AlterField("Item", "id", models.CharField(max_length=9, primary_key=True))
    for _ in range(2):  # it may be run again
        history.apply(change)
        assert history.Item.get(pk="7").code == "a"
        assert history.Part.values_list("pk", "item__code", "others__code", "best__code").get() == ("7", "a", "a", "a")
        assert (history.Item.count(), history.Part.count()) == (1, 1)
        history.states.pop()
    history.states.append(history.states[-1].clone())
    change.state_forwards("moves", history.states[-1])
    with pytest.raises(IntegrityError):
        history.Item.create(id="8", code="a")
    with pytest.raises(IntegrityError):
        history.Part.create(item=history.Item.create(id="8", code="b"), best_id="7")
    history.Part.get().delete()
    assert history.Item.get(pk="7").delete()[0] == 1


def refused(error: type[Exception], match: str, act: Callable[[], Any]) -> None:
    """Something raises an error, and changes no document."""
    with connection.cursor() as cursor:
        before = {name: sorted(map(str, _documents(name))) for name in cursor.collections()}
        with pytest.raises(error, match=match):
            act()
        assert {name: sorted(map(str, _documents(name))) for name in cursor.collections()} == before


def _documents(collection: str) -> Any:
    from memory.backends.firestore.query.plan import Query
    from memory.backends.firestore.values.types import DOCUMENT_ID, FIELDS

    return connection.cursor().run(Query(collection, (DOCUMENT_ID, FIELDS)))


def test_what_cannot_become_a_primary_key_is_refused_before_anything_is_written() -> None:
    """Values that two rows have, none or no document may be called, and keys that rows refer to."""
    history = History(
        item(id=models.BigAutoField(primary_key=True), code=models.CharField(max_length=9, null=True)), part()
    )
    change = migrations.AlterField("Item", "code", models.CharField(max_length=9, primary_key=True))
    remove = migrations.RemoveField("Item", "id")
    history.Item.bulk_create(history.Item.model(code="a") for _ in range(2))
    refused(IntegrityError, "would have the same primary key", lambda: history.apply(remove, change))
    history.Item.update(code=None)
    refused(IntegrityError, "NOT NULL", lambda: history.apply(remove, change))
    history.Item.all().delete()
    history.Part.create(item=history.Item.create(code="a"))
    refused(NotSupportedError, "rows refer to it", lambda: history.apply(remove, change))


def test_what_cannot_be_converted_is_refused_before_anything_is_written() -> None:
    """The last of many rows decides."""
    history = History(item(id=models.IntegerField(primary_key=True), code=models.CharField(max_length=9)))
    history.Item.bulk_create(history.Item.model(id=i, code="1") for i in range(3))
    history.Item.filter(id=2).update(code="x")
    change = migrations.AlterField("Item", "code", models.IntegerField())
    refused(DataError, "cannot be converted", lambda: history.apply(change))


def test_a_new_primary_key_is_numbered() -> None:
    """An AutoField that is added as the key gives each row an id."""
    history = History(item(code=models.CharField(max_length=9, primary_key=True)))
    history.Item.bulk_create(history.Item.model(code=code) for code in "ab")
    history.apply(
        migrations.AlterField("Item", "code", models.CharField(max_length=9)),
        migrations.AddField("Item", "id", models.BigAutoField(primary_key=True)),
    )
    keys = dict(history.Item.values_list("code", "pk"))
    assert sorted(keys) == ["a", "b"]
    assert history.Item.get(pk=keys["a"]).code == "a"


def test_markers_follow_a_collation() -> None:
    """A unique column that ignores case refuses what it did not before, and the other way round."""
    history = History(item(id=models.BigAutoField(primary_key=True), login=models.CharField(max_length=9, unique=True)))
    history.Item.create(login="Ann")
    folded = models.CharField(max_length=9, unique=True, db_collation="nocase")
    history.apply(migrations.AlterField("Item", "login", folded))
    with pytest.raises(IntegrityError):
        history.Item.create(login="ANN")
    history.apply(migrations.AlterField("Item", "login", models.CharField(max_length=9, unique=True)))
    history.Item.create(login="ANN")
    with pytest.raises(IntegrityError):
        history.Item.create(login="Ann")


def test_described_steps_read_and_write_nothing(calls: Any) -> None:
    """`sqlmigrate` prints what would be done."""
    history = History(
        item(id=models.BigAutoField(primary_key=True), code=models.CharField(max_length=9, unique=True)), part()
    )
    history.Part.create(item=history.Item.create(code="a"))
    steps = [
        migrations.AddField("Item", "n", models.IntegerField(default=1)),
        migrations.AlterField("Item", "n", models.CharField(max_length=9, unique=True)),
        migrations.AlterField("Item", "id", models.CharField(max_length=9, primary_key=True)),
        migrations.RenameField("Item", "code", "label"),
        migrations.AddConstraint("Item", models.UniqueConstraint(fields=["n"], name="n_u")),
        migrations.AddConstraint("Item", models.CheckConstraint(condition=models.Q(n=1), name="n_1")),
        migrations.AlterModelTable("Item", "moves_other"),
        migrations.RunSQL("DROP TABLE x"),
        migrations.DeleteModel("Part"),
    ]
    with calls() as made:
        text = "\n".join(history.apply(*steps, collect_sql=True))
    assert made == []
    for step in (
        "write a default into n of every document of moves_item",
        "convert n in every document of moves_item",
        "write the markers of unique(n) for every document of moves_item",
        "move every document of moves_item to the id of its id",
        "copy code to label in every document of moves_item",
        "check that all documents of moves_item fulfil n_1",
        "move every document of moves_item to moves_other",
        "SQL, which Firestore refuses: DROP TABLE x",
        "delete every document of moves_part, and its markers",
    ):
        assert f"-- {step}" in text
    assert (history.Item.count(), history.Part.count()) == (1, 1)


def test_sqlmigrate_leaves_rows_alone() -> None:
    """The command, on an app whose tables hold rows."""
    Author.objects.create(name="ann")
    out = io.StringIO()
    call_command("sqlmigrate", "contenttypes", "0002", stdout=out, no_color=True)
    assert "-- " in out.getvalue()
    assert Author.objects.count() == 1


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (models.CharField(max_length=9), models.ManyToManyField("moves.Item"), "not compatible types"),
        (models.ManyToManyField("moves.Item"), models.CharField(max_length=9), "not compatible types"),
        (
            models.GeneratedField(expression=models.F("id"), output_field=models.IntegerField(), db_persist=True),
            models.IntegerField(default=1),
            "Modifying GeneratedFields is not supported",
        ),
    ],
)
def test_what_django_refuses_is_refused(old: Any, new: Any, match: str) -> None:
    """In Django's words."""
    history = History(item(id=models.IntegerField(primary_key=True), one=old))
    with pytest.raises(ValueError, match=match):
        history.apply(migrations.AlterField("Item", "one", new))


def test_a_field_need_not_belong_to_a_model() -> None:
    """As Django's own schema tests add them."""
    history = History(item(id=models.IntegerField(primary_key=True)))
    history.Item.create(id=1)
    field = models.CharField(max_length=9, unique=True, default="x")
    field.set_attributes_from_name("extra")
    with connection.schema_editor() as editor:
        editor.add_field(history.Item.model, field)
    with connection.cursor() as cursor:
        assert "moves_item:unique" in cursor.collections()


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (models.Index(functions.Lower("nothing"), name="i"), FieldError),
        (models.Index(functions.Upper(models.F("code").desc()), name="i"), ValueError),
        (models.UniqueConstraint(functions.Lower("nothing"), name="u"), FieldError),
    ],
)
def test_expressions_of_indexes_are_checked(made: Any, error: type[Exception]) -> None:
    """Those that name no field are refused, as by SQL."""
    history = History(item(id=models.IntegerField(primary_key=True), code=models.CharField(max_length=9)))
    add = "add_index" if isinstance(made, models.Index) else "add_constraint"
    with pytest.raises(error), connection.schema_editor() as editor:
        getattr(editor, add)(history.Item.model, made)


def test_models_of_applications_without_migrations_keep_their_unique_columns() -> None:
    """In the migrations of others, Django describes them without `unique_together`."""
    model = ProjectState(real_apps={Seat._meta.app_label}).apps.get_model(Seat._meta.app_label, "Seat")
    assert not model._meta.unique_together
    seat = model._default_manager.create(id="a", room=1, row=1, number=1)
    with pytest.raises(IntegrityError):
        Seat.objects.create(id="b", room=2, row=1, number=1)
    seat.number = 2
    seat.save()
    Seat.objects.create(id="c", room=3, row=1, number=1)
    with pytest.raises(IntegrityError):
        model._default_manager.create(id="d", room=4, row=1, number=2)
