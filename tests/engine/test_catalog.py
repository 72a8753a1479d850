"""Introspection answers as the schema editors of this process left a table, as on SQLite."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, migrations, models
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState
from django.db.models import Q
from django.db.models.functions import Lower

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

LABEL = "books"
START = [
    migrations.CreateModel(
        "Author",
        [("id", models.AutoField(primary_key=True)), ("name", models.CharField(max_length=20, unique=True))],
    ),
    migrations.CreateModel(
        "Book",
        [
            ("id", models.AutoField(primary_key=True)),
            ("title", models.CharField(max_length=20, db_index=True)),
            ("pages", models.IntegerField(db_default=5)),
            ("author", models.ForeignKey(f"{LABEL}.Author", models.CASCADE)),
            ("readers", models.ManyToManyField(f"{LABEL}.Author", related_name="+")),
        ],
        options={"unique_together": {("title", "pages"), ("title",)}},
    ),
]
LATER: list[Any] = [
    migrations.AddField("Book", "isbn", models.CharField(max_length=9, null=True, unique=True)),
    migrations.RenameField("Book", "title", "name"),
    migrations.AlterField("Book", "pages", models.CharField(max_length=3, null=True)),
    migrations.RemoveField("Book", "readers"),
    migrations.AddIndex("Book", models.Index(fields=["-pages", "name"], name="by_pages")),
    migrations.AddIndex("Book", models.Index(Lower("name"), "pages", name="by_lower")),
    migrations.AddConstraint("Book", models.UniqueConstraint(fields=["name"], condition=Q(pages="1"), name="one_name")),
    migrations.AddConstraint("Book", models.CheckConstraint(condition=Q(pages__gt="0"), name="some_pages")),
    migrations.RenameModel("Author", "Writer"),
    migrations.AlterUniqueTogether("Book", {("name", "isbn")}),
    migrations.AlterUniqueTogether("Book", {("name", "isbn"), ("pages",)}),
    migrations.AlterUniqueTogether("Book", {("name", "isbn")}),
    migrations.RenameIndex("Book", old_name="by_pages", new_name="by_page"),
    migrations.RemoveIndex("Book", "by_lower"),
    migrations.RemoveConstraint("Book", "some_pages"),
    migrations.AlterModelTable("Book", "volumes"),
    migrations.DeleteModel("Book"),
]


class Side:
    """The migrations of one database."""

    def __init__(self, alias: str) -> None:
        self.connection = connections[alias]
        self.state = ProjectState()

    def apply(self, *operations: Any) -> None:
        made = type("Migration", (Migration,), {"operations": list(operations)})("m", LABEL)
        with self.connection.schema_editor() as editor:
            self.state = made.apply(self.state.clone(), editor)

    def described(self) -> dict[str, Any]:
        """Columns, relations and constraints by table, without what only one database has."""
        found = {}
        with self.connection.cursor() as cursor:
            look = self.connection.introspection
            for table in look.table_names(cursor):
                if not table.startswith(LABEL) and table != "volumes":
                    continue
                columns = look.get_table_description(cursor, table)
                constraints = look.get_constraints(cursor, table).values()
                found[table] = {
                    "columns": sorted((one.name, bool(one.null_ok), one.default) for one in columns),
                    "relations": {name: to[:2] for name, to in look.get_relations(cursor, table).items()},
                    "key": look.get_primary_key_columns(cursor, table),
                    "unique": sorted(str(c["columns"]) for c in constraints if c["unique"] and not c["primary_key"]),
                    "indexes": sorted(
                        str(c["columns"])
                        for c in constraints
                        if c["index"] and not c["unique"] and not _of_foreign_key(c["columns"])
                    ),
                    "checks": sum(1 for c in constraints if c["check"]),
                }
        return found


def _of_foreign_key(columns: list[str]) -> bool:
    return len(columns) == 1 and str(columns[0]).endswith("_id")


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    made = [Side(alias) for alias in ("sqlite", "default")]
    for side in made:
        side.apply(*START)
    yield made
    for side in made:
        with side.connection.schema_editor() as editor:
            for model in side.state.apps.get_models():
                editor.delete_model(model)


def test_tables_are_described_after_each_operation_as_on_sqlite(sides: list[Side]) -> None:
    """Columns, nulls, defaults, relations, keys, unique constraints, indexes and checks."""
    assert set(sides[1].described()) == {"books_author", "books_book", "books_book_readers"}
    for operation in LATER:
        for side in sides:
            side.apply(operation)
        expected, found = (side.described() for side in sides)
        assert found == expected, operation
    assert set(sides[1].described()) == {"books_writer"}


def test_sqlmigrate_changes_nothing(sides: list[Side]) -> None:
    """`collect_sql` leaves the description as it is."""
    before = sides[1].described()
    state = sides[1].state.clone()
    with connection.schema_editor(collect_sql=True) as editor:
        for operation in LATER[:-1]:
            to = state.clone()
            operation.state_forwards(LABEL, to)
            operation.database_forwards(LABEL, editor, state, to)
            state = to
    assert sides[1].described() == before


def test_raw_sql_reads_tables_that_migrations_made(sides: list[Side]) -> None:
    """A data migration reads columns that no installed model has."""
    author = sides[1].state.apps.get_model(LABEL, "Author")
    author.objects.create(name="ann")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM books_author")
        assert cursor.fetchall() == [("ann",)]


def drop_by_template(editor: Any) -> None:
    editor.execute(editor.sql_delete_table % {"table": editor.quote_name("books_author")})


def test_djangos_statement_for_a_deleted_table_is_executed(sides: list[Side]) -> None:
    """Code that drops tables as Django's tests do; the same text as raw SQL is refused."""
    author = sides[1].state.apps.get_model(LABEL, "Author")
    author.objects.create(name="ann")
    with connection.schema_editor() as editor:
        drop_by_template(editor)
    assert author.objects.count() == 0
    assert "books_author" not in sides[1].described()


def test_a_table_is_not_moved_onto_another(sides: list[Side]) -> None:
    """As on SQLite; documents of both would be mixed. The name of a deleted table can be taken."""
    for side in sides:
        with pytest.raises(OperationalError, match="already another table"):
            side.apply(migrations.AlterModelTable("Author", "books_book"))
        side.apply(migrations.DeleteModel("Book"), migrations.AlterModelTable("Author", "books_book"))
    assert set(sides[1].described()) == {"books_book"}


def nondeterministic(model: Any) -> Any:
    return models.Index(models.functions.Random(), name="random")


def unknown(model: Any) -> Any:
    return models.Index(models.functions.Lower("nothing"), name="unknown")


@pytest.mark.parametrize("index", [nondeterministic, unknown])
def test_indexes_are_compiled(sides: list[Side], index: Callable[[Any], Any]) -> None:
    """Errors of expressions are those of SQLite."""
    errors = []
    for side in sides:
        model = side.state.apps.get_model(LABEL, "Author")
        with pytest.raises(Exception) as raised, side.connection.schema_editor() as editor:
            editor.add_index(model, index(model))
        errors.append(raised.type)
    assert errors[0] is errors[1]


def test_described_tables_keep_no_state_of_migrations_in_memory() -> None:
    """Each state has all models of all applications, and a long chain of migrations has hundreds."""
    side, states = Side("default"), []
    for operation in [*START, *LATER[:9]]:
        side.apply(operation)
        states.append(weakref.ref(side.state.apps))
    side.state = ProjectState()
    gc.collect()
    assert [state() for state in states] == [None] * len(states)
