"""The bytes of records as Firestore counts them."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.db import models

from . import limits


def record_size(record: models.Model, without: Collection[str] = frozenset()) -> int:
    """The bytes of a record's document, without some of its fields."""
    values, size = _layout(type(record), frozenset(without))
    size += limits.value_size(str(record.pk))
    for value in values(record):
        fixed = limits.FIXED_SIZES.get(value.__class__)  # most of an item's values: without a call
        size += limits.value_size(value) if fixed is None else fixed
    return size


@lru_cache(maxsize=64)
def _layout(model: type[models.Model], without: frozenset[str]) -> tuple[attrgetter[tuple[Any, ...]], int]:
    """A function that returns the values of a record, and the bytes that each document has besides them."""
    fields = [field for field in model._meta.concrete_fields if field.name not in without]
    attnames = [field.attname for field in fields]
    return attrgetter(*attnames), limits.document_overhead(model._meta.db_table, (field.name for field in fields))
