"""Hypothesis searches for migrations whose effect on populated tables differs between the databases.

`DIFFERENTIAL_EXAMPLES=1000 pytest tests/differential/test_migrations.py` is the long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
        options={"unique_together": {("name", "number")}},
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


def _operation(state: ProjectState, name: str, pick: Pick, step: int) -> Operation | None:
    """An operation that a state allows, or None."""
    label, lower = pick([(one.name, key[1]) for key, one in state.models.items()])
    model = state.models[LABEL, lower]
    others = [one.name for one in state.models.values()]
    match name:
        case "add":
            field = _new_field(pick, others)
            field.db_column = field.db_column and f"{field.db_column} {step}"
            return migrations.AddField(label, f"f{step}", field)
        case "remove":
            used = {n for t in model.options.get("unique_together", ()) for n in t} | {
                n
                for c in (*model.options.get("constraints", ()), *model.options.get("indexes", ()))
                for n in getattr(c, "fields", ())
            }
            names = _fields(state, lower, lambda name, field: not field.primary_key and name not in used | {"name"})
            return migrations.RemoveField(label, pick(names)) if names else None
        case "rename field":
            names = _fields(state, lower, lambda name, field: name not in ("name", "age"))
            return migrations.RenameField(label, pick(names), f"g{step}") if names else None
        case "alter":
            names = _fields(state, lower, lambda name, field: _plain(name, field) or _links(name, field))
            if not names:
                return None
            chosen = pick(names)
            return migrations.AlterField(label, chosen, _altered(model.fields[chosen], pick, step))
        case "key":
            names = _fields(state, lower, lambda name, field: field.primary_key)
            forms: list[Any] = [models.BigAutoField, models.CharField, models.BigIntegerField]
            form = pick(forms)
            options = {"max_length": 30} if form is models.CharField else {}
            if model.fields[names[0]].get_internal_type() == "CharField" or form is models.BigAutoField:
                return None
            return migrations.AlterField(label, names[0], form(primary_key=True, **options))
        case "rename model":
            return migrations.RenameModel(label, f"{label}{step}")
        case "table":
            return migrations.AlterModelTable(label, pick([f"moved_{step}", f"Moved {step}", None]))
        case "constrain":
            return _constraint(state, lower, label, pick, step)
        case "release":
            names = [one.name for one in model.options.get("constraints", ())]
            return migrations.RemoveConstraint(label, pick(names)) if names else None
        case "together":
            names = _fields(state, lower, _column)
            pairs: list[Any] = [set(), {(one, other) for one, other in [tuple(names[:2])]} if len(names) > 1 else set()]
            return migrations.AlterUniqueTogether(label, pick(pairs))
        case "index":
            names = _fields(state, lower, _column)
            return migrations.AddIndex(label, models.Index(fields=[pick(names)], name=f"i{step}")) if names else None
        case "delete":
            return migrations.DeleteModel(label) if label.startswith("Part") else None
    return None


def _constraint(state: ProjectState, lower: str, label: str, pick: Pick, step: int) -> Operation | None:
    names = _fields(state, lower, _column)
    if not names:
        return None
    field = pick(names)
    made = pick(
        [
            models.UniqueConstraint(fields=[field], name=f"c{step}"),
            models.UniqueConstraint(fields=[field], condition=Q(pk__gt=1), name=f"c{step}"),
            models.UniqueConstraint(fields=[field, "id"], name=f"c{step}"),
            models.CheckConstraint(condition=Q(**{f"{field}__isnull": False}), name=f"c{step}"),
        ]
    )
    if "id" in getattr(made, "fields", ()) and "id" not in state.models[LABEL, lower].fields:
        return None
    return migrations.AddConstraint(label, made)


NAMES: Final = (
    "add", "add", "remove", "rename field", "alter", "alter", "key", "rename model", "table", "constrain", "release",
    "together", "index", "delete",
)  # fmt: skip


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
            st.tuples(st.sampled_from(NAMES), st.lists(st.integers(0, 59), min_size=4, max_size=4)), max_size=5
        ),
        back=st.booleans(),
    )
    def test_same_rows(self, steps: list[tuple[str, list[int]]], back: bool) -> None:
        """After each step the same rows and links, or the same kind of error and the rows as they were."""
        sides = [Side(alias) for alias in ALIASES]
        done: list[Operation] = []
        try:
            for side in sides:
                assert side.apply(*START) == ""
                side.fill()
            for number, (name, choices) in enumerate(steps):
                made = [_made(side.state, name, list(choices), number) for side in sides]
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


def _made(state: ProjectState, name: str, choices: list[int], number: int) -> Operation | None:
    def pick(options: list[Any]) -> Any:
        return options[(choices.pop() if choices else 0) % len(options)]

    return _operation(state, name, pick, number)
