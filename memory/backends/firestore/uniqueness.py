"""Unique columns, looked up before a write: what SQL would refuse is refused.

Two writers at the same moment can still both pass, since Firestore itself keeps only ids unique. Constraints with a
condition or an expression are left to the model's validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import IntegrityError
from django.db.models import UniqueConstraint

from .batching import batches
from .lowering import column_ref
from .plan import DOCUMENT_ID, MAX_DISJUNCTIONS, MAX_FILTERS_AND_ORDERS, And, Compare, Filter, Op, Or, Query, Ref

# Columns that identify a row, and what names them in an error.
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row to be written: its document's id, and the columns that are written."""

    id: str
    values: Mapping[str, Any]


@lru_cache(maxsize=1024)
def unique_columns(model: Any) -> tuple[Key, ...]:
    """The sets of columns that no two rows of a model share, beside its primary key."""
    meta = model._meta
    found: list[Key] = [(f.column,) for f in meta.local_concrete_fields if f.unique and not f.primary_key]
    plain = [c for c in meta.constraints if isinstance(c, UniqueConstraint) and not c.condition and not c.expressions]
    local = set(meta.local_concrete_fields)
    for names in (*meta.unique_together, *(constraint.fields for constraint in plain)):
        fields = [meta.get_field(name) for name in names]
        if local.issuperset(fields):
            found.append(tuple(field.column for field in fields))
    return tuple(dict.fromkeys(found))


def conflicts(cursor: Any, model: Any, rows: Sequence[Row], keys: Iterable[Key]) -> dict[int, tuple[str, Key]]:
    """The positions of rows whose unique columns are taken, each with the id of the document that has them.

    Only sets of columns that a row writes whole, and without a null, are compared. Rows may also conflict with one
    before them in `rows`.
    """
    found: dict[int, tuple[str, Key]] = {}
    refs = {field.column: column_ref(field, cursor.db) for field in model._meta.local_concrete_fields}
    for key in keys:
        first: dict[tuple[Any, ...], int] = {}
        for position, row in enumerate(rows):
            values = tuple(row.values.get(column) for column in key)
            if None in values:
                continue
            if values in first:
                found.setdefault(position, (rows[first[values]].id, key))
            first.setdefault(values, position)
        for values, owner in _stored(cursor, model, [refs[column] for column in key], list(first)):
            position = first.get(values, -1)
            if position >= 0 and owner != rows[position].id:
                found.setdefault(position, (owner, key))
    return found


def _stored(
    cursor: Any, model: Any, refs: Sequence[Ref], wanted: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The values among `wanted` that documents have, with the documents' ids; beside them what others may have."""
    size = min(MAX_DISJUNCTIONS, MAX_FILTERS_AND_ORDERS // len(refs))
    columns = (DOCUMENT_ID, *refs)
    for batch in batches(wanted, size):
        rows, _ = cursor.superset(Query(model._meta.db_table, columns, _any_of(refs, batch)))
        yield from ((tuple(row[1:]), row[0]) for row in rows)


def _any_of(refs: Sequence[Ref], batch: Sequence[tuple[Any, ...]]) -> Filter:
    if len(refs) == 1:
        values = tuple(values[0] for values in batch)
        return Compare(refs[0], Op.EQ, values[0]) if len(values) == 1 else Compare(refs[0], Op.IN, values)
    alternatives: list[Filter] = [
        And(tuple(Compare(ref, Op.EQ, value) for ref, value in zip(refs, values, strict=True))) for values in batch
    ]
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def refuse(model: Any, found: Mapping[int, tuple[str, Key]]) -> None:
    """IntegrityError for the first conflict, in SQL's words."""
    for _, key in found.values():
        columns = ", ".join(f"{model._meta.db_table}.{column}" for column in key)
        raise IntegrityError(f"UNIQUE constraint failed: {columns}")
