"""Cached information for inserts into a model: columns, constraints and keys.

`create()` is a single small RPC. Computing this information for each row would take as long as the RPC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from django.db import IntegrityError
from django.db.models import AutoField, Field

from ..cache import is_kept
from ..constraints.definitions import checks, unique_keys
from ..query.lowering import column_ref, key_fields
from ..values.types import Ref
from .document_keys import checked_document_id, id_of_key
from .field_values import Source, source

PLAIN_TYPES: Final = frozenset({str, int, bool, type(None)})
"""Types whose values are always JSON."""

_attname: Final = attrgetter("attname")

AUTO_TYPES: Final = frozenset({"AutoField", "BigAutoField", "SmallAutoField"})


@dataclass(frozen=True, slots=True)
class Insertion:
    """The columns of a row, in order, and their constraints. Integers are positions in a row.

    `sources` are the fields whose values Django provides. `fields` are these, preceded by the primary key if missing.
    `duplicate` is the error for an existing primary key. `has_constraints`: rows have markers or checks.
    """

    table: str
    sources: tuple[Source, ...]
    fields: tuple[Field[Any, Any], ...]
    columns: tuple[Ref, ...]
    key: tuple[int, ...]
    numbered: tuple[int, ...]
    required: tuple[int, ...]
    positive: tuple[int, ...]
    json: tuple[int, ...]
    duplicate: str
    has_constraints: bool

    def refuse_invalid(self, row: Sequence[Any]) -> None:
        """Raises IntegrityError if a row violates a constraint that SQL would enforce on its columns."""
        for position in self.required:
            if row[position] is None:
                refuse_invalid(self.fields[position], None)
        for position in self.positive:
            refuse_invalid(self.fields[position], row[position])
        for position in self.json:
            if not _is_json(row[position]):
                refuse_invalid(self.fields[position], row[position])

    def document_id(self, row: Sequence[Any]) -> str:
        """The id of a row's document. Raises DataError for an invalid primary key."""
        if len(self.key) == 1:
            [at] = self.key
            return checked_document_id(row[at], self.columns[at])
        return id_of_key([row[at] for at in self.key], [self.columns[at] for at in self.key])


def insertion(model: Any, given: Sequence[Field[Any, Any]], connection: Any) -> Insertion:
    """The information for inserting these fields of a model, cached per connection."""
    known: dict[Any, Insertion] = connection.cache.insertions
    which = (model, *map(_attname, given))
    found = known.get(which)
    if found is None:
        found = _insertion(model, given, connection)
        if is_kept(model):
            known[which] = found
    return found


def _insertion(model: Any, given: Sequence[Field[Any, Any]], connection: Any) -> Insertion:
    key = model._meta.pk
    given = tuple(field for field in given if field.column is not None)
    fields = given if model._meta.is_composite_pk or key in given else (key, *given)
    numbered = [isinstance(field, AutoField) or field.get_internal_type() in AUTO_TYPES for field in fields]
    table, keys = model._meta.db_table, key_fields(model)
    return Insertion(
        table=table,
        sources=tuple(source(field, connection) for field in given),
        fields=fields,
        columns=tuple(column_ref(field, connection) for field in fields),
        key=tuple(fields.index(field) for field in keys),
        numbered=_positions(numbered),
        required=_positions([not field.null for field in fields]),
        positive=_positions([must_be_positive(field) for field in fields]),
        json=_positions([must_be_json(field) for field in fields]),
        has_constraints=bool(unique_keys(model) or checks(model)),
        duplicate=f"UNIQUE constraint failed: {', '.join(f'{table}.{field.column}' for field in keys)}",
    )


def _positions(flags: Sequence[bool]) -> tuple[int, ...]:
    return tuple(position for position, flag in enumerate(flags) if flag)


def must_be_positive(field: Field[Any, Any]) -> bool:
    """Whether a column rejects negative numbers."""
    return field.get_internal_type().startswith("Positive")


def must_be_json(field: Field[Any, Any]) -> bool:
    """Whether a column accepts only JSON."""
    return field.get_internal_type() == "JSONField"


def _is_json(value: Any) -> bool:
    """Whether a value contains no NaN and no infinity, which are not JSON."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        members: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple):
        members = value
    else:
        return True
    return all(map(_is_json, [member for member in members if member.__class__ not in PLAIN_TYPES]))


def refuse_invalid(field: Field[Any, Any], value: Any) -> None:
    """Raises IntegrityError for a value that violates NOT NULL, a positive field's range, or JSON validity."""
    where = f"{field.model._meta.db_table}.{field.column}"
    if value is None:
        if not field.null:
            raise IntegrityError(f"NOT NULL constraint failed: {where}")
    elif isinstance(value, int) and value < 0 and must_be_positive(field):
        raise IntegrityError(f"CHECK constraint failed: {where} is {value}, below 0")
    elif must_be_json(field) and not _is_json(value):
        raise IntegrityError(f"CHECK constraint failed: {where} contains NaN or an infinity, which are not valid JSON")
