"""Unique and check constraints of models, and the ids of unique constraints' markers. Pure: no I/O.

In Firestore only document names are unique. So each row that a unique constraint applies to has a marker: a document in
the collection `<table>:unique` whose name is a hash of the constraint and the row's values, written in the same commit
as the row. A second row with the same values would need a second document with that name.

The hashed form has Firestore's equality: 1 equals 1.0, 0.0 equals -0.0, and the order of map keys does not matter. NaN
equals nothing and is treated as null. The format must not change, since stored markers depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import chain
from typing import Any, Final, TypeVar

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import CheckConstraint, F, Field, Q, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import OrderBy, RawSQL
from django.db.models.functions import Collate

from ..query.lowering import collation_of
from ..rpc import codec
from ..rpc.channel import Message
from ..values.types import Kind, Ref

T = TypeVar("T")

Row = Mapping[str, Any]
"""A row's values by column."""

OWNER: Final = Ref(("owner",), Kind.TEXT)
KEY: Final = Ref(("key",), Kind.TEXT)
NONCE: Final = Ref(("nonce",), Kind.TEXT)
COLUMNS: Final = (OWNER, KEY, NONCE)
"""A marker's columns: the document id of the row, the constraint, and a random text that identifies the write."""

_LOWER: Final[Mapping[int, int]] = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

COLLATIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "": str,
    "binary": str,
    "nocase": lambda text: text.translate(_LOWER),
    "rtrim": lambda text: text.rstrip(" "),
}
"""SQLite's collations: the part of a text that is compared."""


@dataclass(frozen=True)
class Key:
    """A unique constraint of a table: fields or expressions whose values are different for all rows.

    It applies to rows that fulfil `condition` and, unless `nulls_distinct` is False, have no null in these values.
    """

    name: str
    model: Any
    fields: tuple[Field[Any, Any], ...] = ()
    expressions: tuple[Any, ...] = ()
    condition: Q | None = None
    nulls_distinct: bool = True

    @property
    def table(self) -> str:
        """The model's table."""
        return str(self.model._meta.db_table)

    def __hash__(self) -> int:
        return hash((self.table, self.name))

    @cached_property
    def message(self) -> str:
        """The error message, as SQLite's."""
        columns = ", ".join(f"{self.table}.{field.column}" for field in self.fields)
        return f"UNIQUE constraint failed: {columns or f'index {self.name!r}'}"

    @cached_property
    def compared(self) -> tuple[Any, ...]:
        """The expressions that SQLite computes (`evaluate.py`); empty if all values are those of stored columns."""
        if self.expressions:
            return tuple(e.expression if isinstance(e, OrderBy) else e for e in self.expressions)
        if any(field.generated for field in self.fields):
            return tuple(F(field.name) for field in self.fields)
        return ()

    @cached_property
    def is_computed(self) -> bool:
        """Whether SQLite is needed to compute a row's marker."""
        return bool(self.compared) or self.condition is not None

    @cached_property
    def reads(self) -> tuple[Field[Any, Any], ...]:
        """The stored fields that determine a row's marker."""
        stored: dict[Field[Any, Any], None] = {}
        for field in self._named:
            inner = fields_of(self.model, field.expression) if field.generated else (field,)
            stored.update(dict.fromkeys(inner))
        return tuple(stored)

    @cached_property
    def generated(self) -> tuple[Field[Any, Any], ...]:
        """The generated fields used by the constraint, which SQLite computes."""
        return tuple(field for field in self._named if field.generated)

    @cached_property
    def _named(self) -> tuple[Any, ...]:
        expressions = [*self.compared, *filter(None, [self.condition])]
        named = (field for expression in expressions for field in fields_of(self.model, expression))
        return tuple(dict.fromkeys((*self.fields, *named)))

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns of `reads`."""
        return frozenset(str(field.column) for field in self.reads)

    def marker(self, values: Sequence[Any]) -> str | None:
        """The id of the marker for canonical values; None if the constraint does not apply because of a null."""
        if self.nulls_distinct and None in values:
            return None
        text = json.dumps([self.name, *values], separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Check(Key):
    """A check constraint. As in SQL, a row with an unknown result (null) is valid."""

    __hash__ = Key.__hash__

    @cached_property
    def message(self) -> str:
        """The error message, as SQLite's."""
        return f"CHECK constraint failed: {self.name}"


def is_marked(field: Any) -> bool:
    """Whether a unique field needs markers. Document ids are enough for a primary key without a collation."""
    return bool(field.unique and (not field.primary_key or field_collation(field)))


def kept_by_model(compute: Callable[[Any], tuple[T, ...]]) -> Callable[[Any], tuple[T, ...]]:
    """Computes once for each model, which keeps the result. A model of a state of migrations ends with the state."""
    name = f"_firestore_{compute.__name__}"

    @wraps(compute)
    def kept(model: Any) -> tuple[T, ...]:
        found: tuple[T, ...] | None = vars(model).get(name)
        if found is None:
            found = compute(model)
            setattr(model, name, found)
        return found

    return kept


@kept_by_model
def unique_keys(model: Any) -> tuple[Key, ...]:
    """The unique constraints of a model's own table besides the primary key, without deferrable ones."""
    meta = model._meta.concrete_model._meta
    own = set(meta.local_concrete_fields)
    fields = [[field] for field in meta.local_concrete_fields if is_marked(field)]
    fields += [[meta.get_field(name) for name in names] for names in _unique_together(meta)]
    plain = {default_name(key): tuple(key) for key in fields if own.issuperset(key)}
    return (
        *(Key(name, meta.model, key) for name, key in plain.items()),
        *(
            constraint_key(meta.model, constraint)
            for constraint in _unique_constraints(meta)
            if names_fields(meta.model, constraint)
        ),
    )


def _unique_together(meta: Any) -> Collection[Sequence[str]]:
    """`unique_together`, of the fields that the model has.

    In the migrations of other applications, Django describes models of applications without migrations without it, and
    without their foreign keys (`ModelState.from_model(exclude_rels=True)`). The installed model has it.
    """
    found: Collection[Sequence[str]] = meta.unique_together
    states = getattr(meta.apps, "real_models", ())  # those of applications without migrations
    if any(state.app_label == meta.app_label and state.name_lower == meta.model_name for state in states):
        found = apps.get_model(meta.app_label, meta.model_name)._meta.unique_together
    names = {field.name for field in meta.local_concrete_fields}
    return [fields for fields in found if names.issuperset(fields)]


def _unique_constraints(meta: Any) -> list[UniqueConstraint]:
    return [
        constraint
        for constraint in meta.constraints
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable
    ]


def names_fields(model: Any, constraint: Any) -> bool:
    """Whether a constraint names fields of the model.

    After RenameField, the state of a migration has constraints with the old name, until they are removed.
    """
    try:
        for name in getattr(constraint, "fields", ()):
            model._meta.get_field(name)
        for expression in (*getattr(constraint, "expressions", ()), *filter(None, [constraint.condition])):
            list(fields_of(model, expression))
    except FieldDoesNotExist:
        return False
    return True


def keys_with_renamed(model: Any, old: Any, new: Any) -> tuple[Key, ...]:
    """The unique constraints that name a field by the name that it had before a RenameField.

    Those with conditions or expressions are left out.
    """
    meta, found = model._meta.concrete_model._meta, []
    for constraint in _unique_constraints(meta):
        names = [new.name if name == old.name else name for name in constraint.fields]
        if names != list(constraint.fields) and not constraint.condition:
            renamed = UniqueConstraint(fields=names, name=constraint.name, nulls_distinct=constraint.nulls_distinct)
            if names_fields(meta.model, renamed):
                found.append(constraint_key(meta.model, renamed))
    return tuple(found)


@kept_by_model
def checks(model: Any) -> tuple[Check, ...]:
    """The check constraints of a model's own table."""
    meta = model._meta.concrete_model._meta
    named = [
        constraint
        for constraint in meta.constraints
        if isinstance(constraint, CheckConstraint) and names_fields(meta.model, constraint)
    ]
    return tuple(check(meta.model, constraint) for constraint in named)


def check(model: Any, constraint: CheckConstraint) -> Check:
    """A check constraint as a key without markers."""
    return Check(constraint.name, model, condition=_as_q(constraint.condition))


def _as_q(condition: Any) -> Q:
    return condition if isinstance(condition, Q) else Q(condition)


def default_name(fields: Iterable[Any]) -> str:
    """The key's name for constraints without one: unique fields and `unique_together`."""
    return name_of_columns(field.column for field in fields)


def name_of_columns(columns: Iterable[Any]) -> str:
    """The same by columns."""
    return f"unique({', '.join(map(str, columns))})"


def unique_together_key(model: Any, names: Iterable[str]) -> Key:
    """An entry of `unique_together` as a key."""
    fields = tuple(model._meta.get_field(name) for name in names)
    return Key(default_name(fields), model, fields)


def constraint_key(model: Any, constraint: UniqueConstraint) -> Key:
    """A unique constraint as a key."""
    return Key(
        name=constraint.name,
        model=model,
        fields=tuple(model._meta.get_field(name) for name in constraint.fields),
        expressions=tuple(constraint.expressions),
        condition=constraint.condition,
        nulls_distinct=constraint.nulls_distinct is not False,
    )


def fields_of(model: Any, expression: Any) -> Iterator[Any]:
    """The model's fields that an expression refers to; all fields if it contains raw SQL, whose columns are unknown."""
    for part in parts_of(expression):
        if isinstance(part, RawSQL):
            yield from model._meta.local_concrete_fields
        if isinstance(part, F):
            first = vars(part)["name"].split(LOOKUP_SEP)[0]
            yield model._meta.pk if first == "pk" else model._meta.get_field(first)


def parts_of(expression: Any) -> Iterator[Any]:
    """An expression or a condition and all that it consists of, also in the lists of `__in` and `__range`.

    The name of a condition's lookup is an F, as it would be in an expression.
    """
    yield expression
    if isinstance(expression, list | tuple):
        children: Iterable[Any] = expression
    elif isinstance(expression, Q):
        children = chain.from_iterable(
            (F(child[0]), child[1]) if isinstance(child, tuple) else (child,) for child in expression.children
        )
    elif hasattr(expression, "get_source_expressions"):
        rhs = getattr(expression, "rhs", None)
        children = (*expression.get_source_expressions(), *(rhs if isinstance(rhs, list | tuple) else ()))
    else:
        children = ()
    for child in children:
        yield from parts_of(child)


def collation(expression: Any, model: Any) -> str:
    """The name of an expression's collation, in lower case."""
    if isinstance(expression, Collate):
        return str(vars(expression)["collation"]).lower()
    if isinstance(expression, F):
        return field_collation(next(fields_of(model, expression)))
    return ""


def field_collation(field: Any) -> str:
    """The name of a column's collation, in lower case."""
    return collation_of(field)


def canonical(message: Message) -> Any:
    """A JSON value that is the same for equal values; None for null."""
    kind = message.WhichOneof("value_type")
    return None if kind is None else _CANONICAL[kind](message)


def canonical_value(value: Any, kind: Kind, collated: str = "") -> Any:
    """The same for a column's Python value. `collated` is the collation of a text."""
    if isinstance(value, str) and collated:
        value = COLLATIONS.get(collated, str)(value)
    return canonical(codec.value(value, kind))


def _number(value: float) -> Any:
    if math.isnan(value):
        return None
    return ["n", int(value) if value.is_integer() else value]


_CANONICAL: Final[Mapping[str, Callable[[Message], Any]]] = {
    "null_value": lambda message: None,
    "boolean_value": lambda message: ["?", message.boolean_value],
    "integer_value": lambda message: ["n", message.integer_value],
    "double_value": lambda message: _number(message.double_value),
    "timestamp_value": lambda message: ["t", message.timestamp_value.seconds, message.timestamp_value.nanos],
    "string_value": lambda message: ["s", message.string_value],
    "bytes_value": lambda message: ["b", message.bytes_value.hex()],
    "reference_value": lambda message: ["r", message.reference_value],
    "geo_point_value": lambda message: ["g", message.geo_point_value.latitude, message.geo_point_value.longitude],
    "array_value": lambda message: ["a", [canonical(value) for value in message.array_value.values]],
    "map_value": lambda message: [
        "m",
        [[key, canonical(message.map_value.fields[key])] for key in sorted(message.map_value.fields)],
    ],
}
