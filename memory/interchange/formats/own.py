"""The format of memory_export: a record's fields and the name of its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import models

from memory.fields import AnyJSONField, DocumentIdField, LongTextField, MapField, NameField, VectorField
from memory.interchange.entries import Context, Entry, Outcomes, Reject, Value, iso_time
from memory.interchange.export import MODELS, exported_fields

OPTIONAL = frozenset({"metadata", "supersedes", "derived_from"})
# Fields that other formats with a `model` do not have.
OWN_FIELDS = frozenset({"item_type", "data_type", "text_content", "last_activity"})


class WrongValueError(Exception):
    """The value of a field is invalid."""


def recognises(content: object) -> bool:
    """Detect an object whose `model` is one of ours, or that has another `model` and fields that only ours have."""
    if not isinstance(content, dict) or not isinstance(name := content.get("model"), str):
        return False
    return name in MODELS or not OWN_FIELDS.isdisjoint(content)


def parse(value: Value, context: Context) -> Outcomes:
    """Yield one entry. A missing `user_id` is taken from the context."""
    name = value.content["model"]
    if name not in MODELS:
        yield Reject(value.place, f"model: {name!r} is not one of {', '.join(MODELS)}.", value.raw)
        return
    fields = {field.name: field for field in exported_fields(MODELS[name])}
    try:
        values = _values(value.content, fields, context)
    except WrongValueError as wrong:
        yield Reject(value.place, str(wrong), value.raw)
        return
    yield Entry(name, values, frozenset(values), value.place, value.raw)


def _values(
    content: Mapping[str, Any], fields: Mapping[str, models.Field[Any, Any]], context: Context
) -> dict[str, Any]:
    if unknown := sorted(content.keys() - fields.keys() - {"model"}):
        raise WrongValueError(f"{unknown[0]}: unknown field.")
    values = dict(content)
    del values["model"]
    if context.user_id is not None and "user_id" in fields:
        values.setdefault("user_id", context.user_id)
    for name, field in fields.items():
        if name in values:
            values[name] = _value(field, values[name])
        elif field.editable and not field.null and name not in OPTIONAL:
            hint = " Add it to the line, or use --user-id." if name == "user_id" else ""
            raise WrongValueError(f"{name}: this field is required.{hint}")
    return values


def _value(field: models.Field[Any, Any], value: object) -> object:
    if value is None and field.null:
        return None
    convert = next(convert for kind, convert in CONVERTERS.items() if isinstance(field, kind))
    try:
        return convert(value)
    except WrongValueError as wrong:
        raise WrongValueError(f"{field.name}: {wrong}") from wrong


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise WrongValueError(f"must be a string, not {_name(value)}.")
    return value


def _time(value: object) -> object:
    time = iso_time(value) if isinstance(value, str) else None
    if time is None:
        raise WrongValueError('must be a time such as "2026-01-31T12:00:00Z".')
    return time


def _map(value: object) -> object:
    if not isinstance(value, dict):
        raise WrongValueError(f"must be an object, not {_name(value)}.")
    return value


def _vector(value: object) -> object:
    if not isinstance(value, list):
        raise WrongValueError(f"must be a list of numbers, not {_name(value)}.")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValueError(f"must be a number, not {_name(value)}.")
    return value


def _any(value: object) -> object:
    return value


def _name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


# The first matching type applies; the model validates the values.
CONVERTERS: Mapping[type[Any], Callable[[object], object]] = {
    DocumentIdField: _text,
    NameField: _text,
    LongTextField: _text,
    models.DateTimeField: _time,
    models.FloatField: _number,
    MapField: _map,
    AnyJSONField: _any,
    VectorField: _vector,
}
