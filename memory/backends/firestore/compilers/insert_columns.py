"""What is the same for every row that is inserted into a model: worked out once, not for each row.

`create()` is one small call; to look up columns, constraints and ids for it again costs as much as the call does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError
from django.db.models import AutoField, Field

from ..query.lowering import column_ref
from ..values.types import Ref

AUTO_TYPES: Final = frozenset({"AutoField", "BigAutoField", "SmallAutoField"})


@dataclass(frozen=True, slots=True)
class Insertion:
    """The columns of a row, in order, and what holds for them; all numbers are positions in a row.

    `given` are the fields whose values Django gives; `fields` begin with the primary key if it is not among those.
    """

    given: tuple[Field[Any, Any], ...]
    fields: tuple[Field[Any, Any], ...]
    columns: tuple[Ref, ...]
    key: int | None
    numbered: tuple[int, ...]
    required: tuple[int, ...]
    positive: tuple[int, ...]
    json: tuple[int, ...]

    def refuse_invalid(self, row: Sequence[Any]) -> None:
        """The constraints that SQL would keep, for a whole row."""
        for position in self.required:
            if row[position] is None:
                refuse_invalid(self.fields[position], None)
        for position in (*self.positive, *self.json):
            refuse_invalid(self.fields[position], row[position])


def insertion(model: Any, given: Sequence[Field[Any, Any]], connection: Any) -> Insertion:
    """What inserting these fields of a model means; made once for each connection."""
    known: dict[Any, Insertion] = vars(connection).setdefault("insertions", {})
    which = (model, *[field.attname for field in given])
    found = known.get(which)
    if found is None:
        found = known[which] = _insertion(model, given, connection)
    return found


def _insertion(model: Any, given: Sequence[Field[Any, Any]], connection: Any) -> Insertion:
    key = model._meta.pk
    given = tuple(field for field in given if field.column is not None)
    fields = given if model._meta.is_composite_pk or key in given else (key, *given)
    numbered = [isinstance(field, AutoField) or field.get_internal_type() in AUTO_TYPES for field in fields]
    return Insertion(
        given=given,
        fields=fields,
        columns=tuple(column_ref(field, connection) for field in fields),
        key=fields.index(key) if key in fields else None,
        numbered=_positions(numbered),
        required=_positions([not field.null for field in fields]),
        positive=_positions([must_be_positive(field) for field in fields]),
        json=_positions([must_be_json(field) for field in fields]),
    )


def _positions(flags: Sequence[bool]) -> tuple[int, ...]:
    return tuple(position for position, flag in enumerate(flags) if flag)


def must_be_positive(field: Field[Any, Any]) -> bool:
    """Whether a column takes no number below 0."""
    return field.get_internal_type().startswith("Positive")


def must_be_json(field: Field[Any, Any]) -> bool:
    """Whether a column takes JSON alone."""
    return field.get_internal_type() == "JSONField"


def _is_json(value: Any) -> bool:
    """Whether every number is one that JSON can spell: not NaN, no infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_json, value))


def refuse_invalid(field: Field[Any, Any], value: Any) -> None:
    """The constraints of a column that SQL would keep: NOT NULL, no negative number where none is allowed, JSON."""
    where = f"{field.model._meta.db_table}.{field.column}"
    if value is None:
        if not field.null:
            raise IntegrityError(f"NOT NULL constraint failed: {where}")
    elif isinstance(value, int) and value < 0 and must_be_positive(field):
        raise IntegrityError(f"CHECK constraint failed: {where} is {value}, below 0")
    elif must_be_json(field) and not _is_json(value):
        raise IntegrityError(f"CHECK constraint failed: {where} holds NaN or an infinity, and JSON has no such number")
