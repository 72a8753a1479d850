"""Values that validation returns as they are, recognised without a call of Django's methods.

`Model.clean_fields()` calls about ten methods for a field. Most records have only values for which all of them do
nothing: short ASCII texts, times, flat maps. A field that is not of one of the classes here, or has choices or
validators of its own, and any other value, is left to Django.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.db import models

from memory.backends.firestore.values.document_ids import MAX_KEY_BYTES
from memory.backends.firestore.values.sortable_text import INT64

from . import fields

IsPlain = Callable[[Any], bool]

UNLOADED: Final = object()
MEMBERS: Final = frozenset({bool, type(None)})
"""Types of which each value is valid in a map."""


class PlainTest(NamedTuple):
    """A field, and a function that returns whether validation returns a value as it is.

    `skips_none`: Django skips the field if its value is None.
    """

    name: str
    attname: str
    skips_none: bool
    is_plain: IsPlain


def unclear_fields(record: models.Model) -> list[str]:
    """The names of the fields whose values must be validated by Django's methods."""
    values = vars(record)
    unclear = []
    for name, attname, skips_none, is_plain in plain_tests(type(record)):
        value = values.get(attname, UNLOADED)
        if not (skips_none if value is None else is_plain(value)):
            unclear.append(name)
    return unclear


@lru_cache(maxsize=64)
def plain_tests(model: type[models.Model]) -> tuple[PlainTest, ...]:
    """The tests of a model's fields."""
    return tuple(
        PlainTest(field.name, field.attname, field.blank and None in field.empty_values, _test(field))
        for field in model._meta.fields
        if not field.generated
    )


def _test(field: Any) -> IsPlain:
    found = TESTS.get(type(field))
    return _never if found is None or field.choices is not None or field._validators else found(field)


def _never(value: Any) -> bool:
    return False


def _text(field: Any) -> IsPlain:
    shortest, longest = (0 if field.blank else 1), field.max_length or math.inf

    def is_plain(value: Any) -> bool:
        return value.__class__ is str and shortest <= len(value) <= longest and value.isascii()

    return is_plain


def _id(field: Any) -> IsPlain:
    """Letters and digits: other ids may be reserved."""

    def is_plain(value: Any) -> bool:
        return value.__class__ is str and value.isalnum() and value.isascii() and len(value) <= field.max_length

    return is_plain


def _time(field: Any) -> IsPlain:
    return _is_time


def _is_time(value: Any) -> bool:
    return value.__class__ is datetime


def _map(field: Any) -> IsPlain:
    return _is_flat_map


def _is_flat_map(value: Any) -> bool:
    """Whether a value is a map of which each member is an ASCII text, an integer of 64 bits, a boolean or null."""
    if value.__class__ is not dict:
        return False
    for key, member in value.items():
        if key.__class__ is not str or not key.isascii() or len(key) > MAX_KEY_BYTES:
            return False
        kind = member.__class__
        if kind is str:
            if not member.isascii():
                return False
        elif kind not in MEMBERS and not (kind is int and member in INT64):
            return False
    return True


def _ids(field: Any) -> IsPlain:
    return _is_empty_list


def _is_empty_list(value: Any) -> bool:
    return value.__class__ is list and not value


TESTS: Final[Mapping[type, Callable[[Any], IsPlain]]] = {
    fields.DocumentIdField: _id,
    fields.NameField: _text,
    fields.SparseNameField: _text,
    fields.ContentHashField: _text,
    fields.LongTextField: _text,
    fields.ProtectedTextField: _text,
    fields.MapField: _map,
    fields.ProtectedMapField: _map,
    fields.SparseMapField: _map,
    fields.SparseIdsField: _ids,
    models.DateTimeField: _time,
    fields.SparseTimeField: _time,
    fields.BoundField: _time,
}
"""By the exact class of a field: a subclass may validate more."""
