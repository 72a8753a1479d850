"""The database values of an object's fields for INSERT, without the calls that return them unchanged.

Django prepares each value with four methods (`METHODS`), most of which return most values as they are. To call them for
each column takes as much time as to encode the row. `Source` has, for a field that does not override them, the types of
values that none of them changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from django.db.models import fields
from django.db.models.fields.json import JSONField

METHODS: Final = ("get_db_prep_save", "get_db_prep_value", "get_prep_value", "to_python")

UNCHANGED: Final[Mapping[type[Any], frozenset[type]]] = {
    fields.CharField: frozenset({str, type(None)}),
    fields.TextField: frozenset({str, type(None)}),
    fields.IntegerField: frozenset({int, type(None)}),
    fields.FloatField: frozenset({float, type(None)}),
    fields.BooleanField: frozenset({bool, type(None)}),
    fields.DateTimeField: frozenset({type(None)}),
    JSONField: frozenset({type(None)}),
}
"""Exact types of the values that Django's methods return as they are, by the class that defines the methods."""


class Source(NamedTuple):
    """How a field's database value is made. `prepare` takes values of other types than `unchanged`.

    `is_attribute` means that saving does not compute the value, as `auto_now` does.
    """

    field: Any
    attname: str
    is_attribute: bool
    unchanged: frozenset[type]
    prepare: Callable[[Any], Any]


def source(field: Any, connection: Any) -> Source:
    """The source of a field's values."""
    owner = next((owner for owner in UNCHANGED if _has_methods_of(owner, field)), fields.Field)
    prepare = partial(field.get_db_prep_save, connection=connection)
    if owner in _PREPARERS:
        prepare = partial(_PREPARERS[owner], prepare, field, connection)
    return Source(field, field.attname, _is_attribute(field), UNCHANGED.get(owner, frozenset()), prepare)


def _has_methods_of(owner: type[Any], field: Any) -> bool:
    """Whether a field's methods are those of Django's class, and nobody has replaced them there."""
    found = [(_method(field, name), getattr(owner, name)) for name in METHODS]
    return all(method is own and own.__module__.startswith(fields.__name__) for method, own in found)


def _is_attribute(field: Any) -> bool:
    inherited = fields.Field, fields.DateField, fields.DateTimeField, fields.TimeField
    automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return not automatic and _method(field, "pre_save") in {owner.pre_save for owner in inherited}


def _method(field: Any, name: str) -> Any:
    """The function behind a bound method, also of one that was set on the instance."""
    method = getattr(field, name)
    return getattr(method, "__func__", method)


def _prepare_datetime(prepare: Callable[[Any], Any], field: Any, connection: Any, value: Any) -> Any:
    is_utc = value.__class__ is dt.datetime and value.tzinfo is dt.UTC
    return value if is_utc and connection.timezone is not None else prepare(value)  # None: USE_TZ is False


def _prepare_json(prepare: Callable[[Any], Any], field: Any, connection: Any, value: Any) -> Any:
    if value.__class__ in (dict, list):
        return connection.ops.adapt_json_value(value, field.encoder)
    return prepare(value)


_PREPARERS: Final[Mapping[Any, Callable[..., Any]]] = {
    fields.DateTimeField: _prepare_datetime,
    JSONField: _prepare_json,
}
"""What the methods of a class do with the most usual values."""
