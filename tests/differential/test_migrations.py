"""Hypothesis searches for migrations whose effect on populated tables differs between the databases.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_migrations.py` is the long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DatabaseError, connections, migrations, models, transaction
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import CASCADE, Q
from hypothesis import given
from hypothesis import strategies as st

from .examples import examples

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "12"))

LABEL: Final = "moves"
ALIASES: Final = ("default", "firestore")

START: Final = (
    migrations.CreateModel(
        "City",
        [
            ("id", models.AutoField(primary_key=True)),
            ("name", models.CharField(max_length=20)),
            ("code", models.IntegerField(unique=True)),
        ],
    ),
    migrations.CreateModel(
        "Person",
        [
            ("id", models.IntegerField(primary_key=True)),
            ("name", models.CharField(max_length=20)),
            ("age", models.IntegerField(null=True)),
            ("number", models.CharField(max_length=20, default="5")),
            ("city", models.ForeignKey(f"{LABEL}.City", CASCADE, null=True)),
            ("cities", models.ManyToManyField(f"{LABEL}.City", related_name="people")),
            ("friends", models.ManyToManyField(f"{LABEL}.Person")),
        ],
        options={
            "unique_together": {("name", "number")},
            "indexes": [models.Index(fields=["age"], name="first_index")],
            "constraints": [models.UniqueConstraint(fields=["name", "age"], name="first_constraint")],
        },
    ),
    migrations.CreateModel(
        "Part",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("person", models.OneToOneField(f"{LABEL}.Person", CASCADE)),
            ("kind", models.CharField(max_length=20, default="a")),
        ],
    ),
)

Pick = Callable[[list[Any]], Any]


def _fields(state: ProjectState, model: str, wanted: Callable[[str, Any], bool]) -> list[str]:
    return [name for name, field in state.models[LABEL, model].fields.items() if wanted(name, field)]


def _plain(name: str, field: Any) -> bool:
    return not field.is_relation and not field.primary_key


def _links(name: str, field: Any) -> bool:
    return bool(field.many_to_many)


def _column(name: str, field: Any) -> bool:
    return not field.many_to_many and not field.primary_key


NEW_FIELDS: Final[tuple[Callable[[], models.Field[Any, Any]], ...]] = (
    lambda: models.IntegerField(default=3),
    lambda: models.CharField(max_length=9, null=True),
    lambda: models.TextField(db_default="x"),
    lambda: models.IntegerField(null=True, unique=True),
    lambda: models.IntegerField(default=1, unique=True),
    lambda: models.ForeignKey(f"{LABEL}.Other", CASCADE, null=True, related_name="+"),
    lambda: models.ManyToManyField(f"{LABEL}.Other", related_name="+"),
    lambda: models.JSONField(default=dict),
    lambda: models.CharField(max_length=9, default="q", db_column="Odd column"),
)


def _new_field(pick: Pick, others: list[str]) -> models.Field[Any, Any]:
    field = pick(list(NEW_FIELDS))()
    if field.is_relation:
        made = models.ManyToManyField if field.many_to_many else models.ForeignKey
        options = {"related_name": "+"} | ({} if field.many_to_many else {"null": True, "on_delete": CASCADE})
        field = made(f"{LABEL}.{pick(others)}", **options)
    return field


def _altered(field: Any, pick: Pick, step: int) -> models.Field[Any, Any]:
    """A field in another form: another type, unique or not, null or not, in another column."""
    if field.many_to_many:
        made = field.clone()
        made.db_table = pick([None, "moves_links", "moves links"])
        return made  # type: ignore[no-any-return]
    changes: list[Callable[[Any], Any]] = [
        lambda made: setattr(made, "db_column", f"Other column {step}"),
        lambda made: setattr(made, "_unique", not made._unique),
    ]
    if field.null:
        changes.append(lambda made: (setattr(made, "null", False), setattr(made, "default", field.default)))
    else:
        changes.append(lambda made: setattr(made, "null", True))
    change = pick([*changes, *TYPES.get(field.get_internal_type(), ())])
    if isinstance(change, type):
        options = {"max_length": 30} if change is models.CharField else {}
        return change(null=field.null, unique=field._unique, **options)  # type: ignore[no-any-return]
    made = field.clone()
    change(made)
    if not made.null and field.null:
        made.default = {"IntegerField": 8, "CharField": "8", "TextField": "8"}.get(field.get_internal_type(), 1)
    return made  # type: ignore[no-any-return]


TYPES: Final[Mapping[str, tuple[Any, ...]]] = {
    "IntegerField": (models.BigIntegerField, models.CharField, models.TextField),
    "CharField": (models.TextField,),
    "TextField": (models.CharField,),
}


@dataclass(frozen=True)
class Choice:
    """A model of a state, for which an operation is made."""

    state: ProjectState
    label: str
    lower: str
    pick: Pick
    step: int
    """The number of the operation, for new names."""

    @property
    def model(self) -> Any:
        """The model's state."""
        return self.state.models[LABEL, self.lower]

    @property
    def others(self) -> list[str]:
        """The names of all models."""
        return [one.name for one in self.state.models.values()]

    def option(self, name: str) -> list[Any]:
        """The constraints, indexes or groups of unique columns of the model."""
        return list(self.model.options.get(name) or ())

    def fields(self, wanted: Callable[[str, Any], bool]) -> list[str]:
        """The names of some fields."""
        return _fields(self.state, self.lower, wanted)

    @property
    def used(self) -> set[str]:
        """The fields that options of the model name."""
        together = {name for names in self.option("unique_together") for name in names}
        named = (*self.option("constraints"), *self.option("indexes"))
        ordered = {self.model.options.get("order_with_respect_to")}
        return together | ordered | {name for one in named for name in getattr(one, "fields", ())}


def _add_field(of: Choice) -> Operation | None:
    field = _new_field(of.pick, of.others)
    field.db_column = field.db_column and f"{field.db_column} {of.step}"
    return migrations.AddField(of.label, f"f{of.step}", field)


def _remove_field(of: Choice) -> Operation | None:
    names = of.fields(lambda name, field: not field.primary_key and name not in of.used | {"name"})
    return migrations.RemoveField(of.label, of.pick(names)) if names else None


def _rename_field(of: Choice) -> Operation | None:
    kept = {"name", "age", of.model.options.get("order_with_respect_to")}
    names = of.fields(lambda name, field: name not in kept)
    return migrations.RenameField(of.label, of.pick(names), f"g{of.step}") if names else None


def _alter_field(of: Choice) -> Operation | None:
    if of.pick([True, True, False]):
        names = of.fields(lambda name, field: _plain(name, field) or _links(name, field))
        if not names:
            return None
        chosen = of.pick(names)
        return migrations.AlterField(of.label, chosen, _altered(of.model.fields[chosen], of.pick, of.step))
    names = of.fields(lambda name, field: field.primary_key)
    forms: list[Any] = [models.BigAutoField, models.CharField, models.BigIntegerField]
    form = of.pick(forms)
    options = {"max_length": 30} if form is models.CharField else {}
    if of.model.fields[names[0]].get_internal_type() == "CharField" or form is models.BigAutoField:
        return None
    return migrations.AlterField(of.label, names[0], form(primary_key=True, **options))


def _create_model(of: Choice) -> Operation | None:
    fields = [
        ("id", models.AutoField(primary_key=True)),
        ("name", models.CharField(max_length=20, default="n", db_column=of.pick([None, "Odd name"]))),
        ("link", models.ForeignKey(f"{LABEL}.{of.pick(of.others)}", CASCADE, null=True, related_name="+")),
        ("links", models.ManyToManyField(f"{LABEL}.{of.pick(of.others)}", related_name="+")),
    ]
    return migrations.CreateModel(f"New{of.step}", fields[: of.pick([2, 3, 4])])


def _delete_model(of: Choice) -> Operation | None:
    return migrations.DeleteModel(of.label) if of.label.startswith("Part") else None


def _rename_model(of: Choice) -> Operation | None:
    return migrations.RenameModel(of.label, f"{of.label}{of.step}")


def _alter_table(of: Choice) -> Operation | None:
    return migrations.AlterModelTable(of.label, of.pick([f"moved_{of.step}", f"Moved {of.step}", None]))


def _alter_comment(of: Choice) -> Operation | None:
    return migrations.AlterModelTableComment(of.label, of.pick(["What it's for", None]))


def _alter_options(of: Choice) -> Operation | None:
    return migrations.AlterModelOptions(of.label, of.pick([{"ordering": ["-pk"]}, {"verbose_name": "one"}, {}]))


def _alter_managers(of: Choice) -> Operation | None:
    return migrations.AlterModelManagers(of.label, [(of.pick(["objects", "rows"]), models.Manager())])


def _alter_order(of: Choice) -> Operation | None:
    keys = of.fields(lambda name, field: field.many_to_one)
    return migrations.AlterOrderWithRespectTo(of.label, of.pick([*keys, None]))


def _alter_together(of: Choice) -> Operation | None:
    names = of.fields(_column)
    pairs: list[Any] = [set(), {(one, other) for one, other in [tuple(names[:2])]} if len(names) > 1 else set()]
    return migrations.AlterUniqueTogether(of.label, of.pick(pairs))


def _add_constraint(of: Choice) -> Operation | None:
    names = of.fields(_column)
    if not names:
        return None
    field, name = of.pick(names), f"c{of.step}"
    made = of.pick(
        [
            models.UniqueConstraint(fields=[field], name=name),
            models.UniqueConstraint(fields=[field], condition=Q(pk__gt=1), name=name),
            models.UniqueConstraint(fields=[field, "id"], name=name),
            models.CheckConstraint(condition=Q(**{f"{field}__isnull": False}), name=name),
        ]
    )
    if "id" in getattr(made, "fields", ()) and "id" not in of.model.fields:
        return None
    return migrations.AddConstraint(of.label, made)


def _alter_constraint(of: Choice) -> Operation | None:
    constraints = of.option("constraints")
    if not constraints:
        return None
    made = of.pick(constraints).clone()
    made.violation_error_message = "Not allowed."
    return migrations.AlterConstraint(of.label, made.name, made)


def _remove_constraint(of: Choice) -> Operation | None:
    names = [one.name for one in of.option("constraints")]
    return migrations.RemoveConstraint(of.label, of.pick(names)) if names else None


def _add_index(of: Choice) -> Operation | None:
    names = of.fields(_column)
    made = models.Index(fields=[of.pick(names)], name=f"i{of.step}") if names else None
    return migrations.AddIndex(of.label, made) if made else None


def _rename_index(of: Choice) -> Operation | None:
    names = [one.name for one in of.option("indexes")]
    return migrations.RenameIndex(of.label, f"j{of.step}", old_name=of.pick(names)) if names else None


def _remove_index(of: Choice) -> Operation | None:
    names = [one.name for one in of.option("indexes")]
    return migrations.RemoveIndex(of.label, of.pick(names)) if names else None


def _run_python(of: Choice) -> Operation | None:
    names = of.fields(lambda name, field: _plain(name, field) and field.get_internal_type() in CONSTANTS)
    if not names:
        return None
    chosen = of.pick(names)
    constant, null = CONSTANTS[of.model.fields[chosen].get_internal_type()], of.pick([True, False])

    def fill(apps: Any, editor: Any) -> None:
        rows = apps.get_model(LABEL, of.label)._base_manager.using(editor.connection.alias)
        with transaction.atomic(using=rows.db):  # an error in SQLite's own block ends its editor half way
            rows.filter(**{f"{chosen}__isnull": null}).update(**{chosen: constant})

    return migrations.RunPython(fill, migrations.RunPython.noop)


def _separate(of: Choice) -> Operation | None:
    """The same in the database and in the state, but for what the state alone knows."""
    made = _add_field(of)
    state = [made, migrations.AlterModelOptions(of.label, {"verbose_name": "one"})]
    return migrations.SeparateDatabaseAndState(database_operations=[made], state_operations=state)


CONSTANTS: Final[Mapping[str, Any]] = {"IntegerField": 4, "BigIntegerField": 4, "CharField": "4", "TextField": "4"}

OPERATIONS: Final[Mapping[type[Operation], Callable[[Choice], Operation | None]]] = {
    migrations.AddConstraint: _add_constraint,
    migrations.AddField: _add_field,
    migrations.AddIndex: _add_index,
    migrations.AlterConstraint: _alter_constraint,
    migrations.AlterField: _alter_field,
    migrations.AlterModelManagers: _alter_managers,
    migrations.AlterModelOptions: _alter_options,
    migrations.AlterModelTable: _alter_table,
    migrations.AlterModelTableComment: _alter_comment,
    migrations.AlterOrderWithRespectTo: _alter_order,
    migrations.AlterUniqueTogether: _alter_together,
    migrations.CreateModel: _create_model,
    migrations.DeleteModel: _delete_model,
    migrations.RemoveConstraint: _remove_constraint,
    migrations.RemoveField: _remove_field,
    migrations.RemoveIndex: _remove_index,
    migrations.RenameField: _rename_field,
    migrations.RenameIndex: _rename_index,
    migrations.RenameModel: _rename_model,
    migrations.RunPython: _run_python,
    migrations.SeparateDatabaseAndState: _separate,
}
"""What makes each operation for a model, or None if the model has nothing to apply it to."""

KINDS: Final = [*OPERATIONS, migrations.AddField, migrations.AlterField, migrations.AlterField, migrations.AddIndex]
"""Those to choose from: some more often than others."""


UNRESOLVED: Final = "FieldDoesNotExist"
"""Django's editor of SQLite makes a table again with all of its constraints and indexes, some of which have the names
of fields before a RenameField."""


def unrendered(state: ProjectState) -> ProjectState:
    """A copy of a state without rendered models.

    With them, Django finds relations to models that were deleted: RenameModel raises LookupError, and the editor of
    SQLite rebuilds their tables.
    """
    return ProjectState({key: model.clone() for key, model in state.models.items()})


class Side:
    """The tables of one database, as its migrations left them."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = connections[alias]
        self.states = [ProjectState()]

    @property
    def state(self) -> ProjectState:
        """The present state."""
        return self.states[-1]

    def apply(self, *operations: Operation) -> str:
        """Migrate; return the class of the error that it raises."""
        state = unrendered(self.state)
        made = type("Migration", (Migration,), {"operations": list(operations)})("m", LABEL)
        try:
            with self.connection.schema_editor() as editor:
                made.apply(state, editor)
        except (DatabaseError, ValueError) as error:
            return "refused" if isinstance(error, DatabaseError) else type(error).__name__
        except (FieldDoesNotExist, FieldError):
            return UNRESOLVED
        self.states.append(state)
        return ""

    def undo(self, operation: Operation) -> str:
        """Reverse the last operation."""
        before = unrendered(self.states[-2])
        made = type("Migration", (Migration,), {"operations": [operation]})("m", LABEL)
        try:
            with self.connection.schema_editor() as editor:
                made.unapply(before, editor)
        except (DatabaseError, ValueError) as error:
            return "refused" if isinstance(error, DatabaseError) else type(error).__name__
        self.states.pop()
        return ""

    def model(self, name: str) -> Any:
        """A manager of a model of the present state."""
        return self.state.apps.get_model(LABEL, name)._default_manager.using(self.alias)

    def fill(self) -> None:
        """Some rows and links."""
        cities = [self.model("City").create(id=i, name=f"c{i}", code=i) for i in (1, 2)]
        people = [
            self.model("Person").create(id=i, name=f"p{i}", age=i if i > 1 else None, number=str(i), city=cities[i % 2])
            for i in (1, 2, 3)
        ]
        people[0].cities.add(*cities)
        people[1].cities.add(cities[0])
        people[1].friends.add(people[2])
        self.model("Part").create(id=1, person=people[0])

    def rows(self) -> list[Any]:
        """All rows and links, by model."""
        found = []
        for model in self.state.apps.get_models(include_auto_created=True):
            columns = [field.attname for field in model._meta.concrete_fields if not model._meta.auto_created]
            columns = columns or [field.attname for field in model._meta.concrete_fields if field.is_relation]
            rows = model._default_manager.using(self.alias).values_list(*columns)
            found.append((model._meta.label, sorted(map(repr, rows))))
        return sorted(found)

    def link_again(self) -> None:
        """Add every link once more; all exist already."""
        for model in self.state.apps.get_models():
            for field in model._meta.local_many_to_many:
                for row in model._default_manager.using(self.alias):
                    links = getattr(row, field.name)
                    links.add(*links.all())

    def doubles(self) -> list[Any]:
        """The outcome of inserting each row once more with another key."""
        found = []
        for model in sorted(self.state.apps.get_models(), key=lambda model: model._meta.label):
            for row in model._default_manager.using(self.alias).order_by("pk"):
                row.pk = str(90) if isinstance(model._meta.pk, models.CharField) else 90
                try:
                    with transaction.atomic(using=self.alias):
                        with transaction.atomic(using=self.alias):
                            row.save(force_insert=True, using=self.alias)
                        found.append("saved")
                        transaction.set_rollback(True, using=self.alias)
                except DatabaseError:
                    found.append("refused")
        return found

    def clear(self) -> None:
        """Deletes all tables."""
        with self.connection.schema_editor() as editor:
            for model in self.state.apps.get_models():
                editor.delete_model(model)


@pytest.mark.django_db(databases=["default", "firestore"], transaction=True)
class TestMigrations:
    """Sequences of operations, forwards and backwards."""

    @examples(EXAMPLES)
    @given(
        steps=st.lists(
            st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 59), min_size=4, max_size=4)), max_size=5
        ),
        back=st.booleans(),
    )
    def test_same_rows(self, steps: list[tuple[type[Operation], list[int]]], back: bool) -> None:
        """After each step the same rows and links, or the same kind of error and the rows as they were."""
        sides = [Side(alias) for alias in ALIASES]
        done: list[Operation] = []
        try:
            for side in sides:
                assert side.apply(*START) == ""
                side.fill()
            for number, (kind, choices) in enumerate(steps):
                made = [_made(side.state, kind, list(choices), number) for side in sides]
                if made[0] is None:
                    continue
                results = [side.apply(one) for side, one in zip(sides, made, strict=True) if one is not None]
                if results[0] == UNRESOLVED:
                    return
                assert results[1] == results[0], (done, made[0])
                assert sides[1].rows() == sides[0].rows(), (done, made[0])
                if results[0]:
                    break
                done.append(made[0])
            for side in sides:
                side.link_again()
            assert sides[1].rows() == sides[0].rows(), done
            assert sides[1].doubles() == sides[0].doubles(), done
            while back and done:
                results = [side.undo(done[-1]) for side in sides]
                assert results[1] == results[0], (done, "backwards")
                assert sides[1].rows() == sides[0].rows(), (done, "backwards")
                if results[0]:
                    break
                done.pop()
        finally:
            for side in sides:
                side.clear()


def _made(state: ProjectState, kind: type[Operation], choices: list[int], number: int) -> Operation | None:
    def pick(options: list[Any]) -> Any:
        return options[(choices.pop() if choices else 0) % len(options)]

    label, lower = pick([(one.name, key[1]) for key, one in state.models.items()])
    return OPERATIONS[kind](Choice(state, label, lower, pick, number))


def test_every_operation_is_generated() -> None:
    """But for SQL, which Firestore does not have, and an option that Django 5.1 removed."""
    public = {one for one in vars(migrations).values() if isinstance(one, type) and issubclass(one, Operation)}
    assert public - set(OPERATIONS) == {migrations.RunSQL, migrations.AlterIndexTogether}
