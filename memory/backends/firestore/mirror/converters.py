"""Converts values for the mirror's SQLite, and back."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from decimal import Context
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Field
from django.utils.dateparse import parse_date, parse_datetime, parse_time
from django.utils.duration import duration_microseconds

from memory.backends.sqlite.base import DatabaseWrapper as SQLiteWrapper

from ..connection import Connection
from ..query.lowering import kind_of
from ..values.types import JSON_NULL, Kind

Convert = Callable[[Any], Any]

# SQLite computes with floats, which have this many significant decimal digits.
FLOAT_DIGITS: Final = Context(prec=15)


def to_sqlite(field: Field[Any, Any], outer: Connection, inner: SQLiteWrapper) -> Convert | None:
    """The conversion of a codec value to its SQLite form; None if no conversion is needed."""
    kind = kind_of(field, outer)
    if kind in (Kind.VECTOR, Kind.ANY):
        return lambda value: field.get_db_prep_save(value, connection=inner)
    if kind is Kind.DECIMAL:
        return lambda value: inner.ops.adapt_decimalfield_value(
            value, getattr(field, "max_digits", None), getattr(field, "decimal_places", None)
        )
    if kind in (Kind.DATETIME, Kind.MOMENT):
        return lambda value: str(_naive(value, inner.timezone))
    return TO_SQLITE.get(kind)


def from_sqlite(field: Any, outer: Connection, inner: SQLiteWrapper) -> Convert | None:
    """The inverse of `to_sqlite`, for values computed by SQLite, whose columns hold values of any type.

    The conversion raises DataError for a value that the column cannot hold, and IntegrityError for text that is not
    JSON.
    """
    convert = _from_sqlite(field, outer, inner)

    def checked(value: Any) -> Any:
        try:
            return value if convert is None else convert(value)
        except (ValueError, TypeError, ArithmeticError, ValidationError) as error:
            where = f"{field.model._meta.db_table}.{field.column}"
            if isinstance(error, json.JSONDecodeError):
                raise IntegrityError(f"CHECK constraint failed: {where}={value!r} is not valid JSON") from error
            raise DataError(f"{where} cannot hold the computed value {value!r}") from error

    return None if convert is None else checked


def _from_sqlite(field: Any, outer: Connection, inner: SQLiteWrapper) -> Convert | None:
    kind = kind_of(field, outer)
    if kind is Kind.DECIMAL:
        return lambda value: outer.ops.adapt_decimalfield_value(
            FLOAT_DIGITS.create_decimal(value) if isinstance(value, float) else field.to_python(value),
            getattr(field, "max_digits", None),
            getattr(field, "decimal_places", None),
        )
    if kind in (Kind.DATETIME, Kind.MOMENT):
        return lambda value: _instant(_parsed(parse_datetime, value), inner.timezone)
    if kind in (Kind.VECTOR, Kind.ANY):
        return lambda value: field.get_db_prep_save(field.to_python(value), connection=outer)
    return FROM_SQLITE.get(kind)


def _naive(value: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    if settings.USE_TZ and zone is not None and zone is not datetime.UTC:
        value = value.astimezone(zone)
    return value.replace(tzinfo=None)


def _instant(value: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone if settings.USE_TZ and zone is not None else datetime.UTC)
    return value.astimezone(datetime.UTC)


def _json_text(value: Any) -> str:
    """JSON text. NaN and infinities, which SQLite rejects, become null: the text of an escaped value may have them."""
    if value is JSON_NULL:
        return "null"
    try:
        return json.dumps(value, allow_nan=False, sort_keys=True)  # maps have no order in Firestore
    except ValueError:
        return json.dumps(json.loads(json.dumps(value), parse_constant=lambda name: None))


def _json_value(text: Any) -> Any:
    value = json.loads(text)
    return JSON_NULL if value is None else value


def _parsed(parse: Callable[[str], Any], value: Any) -> Any:
    found = parse(str(value))
    if found is None:
        raise ValueError(value)
    return found


def _date(value: Any) -> datetime.date:
    """A date, or that of a datetime."""
    found: datetime.date = parse_date(str(value)) or _parsed(parse_datetime, value).date()
    return found


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        raise TypeError(value)
    return str(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):  # bytes() would make as many zeros of a number
        raise TypeError(value)
    return value


TO_SQLITE: Final[dict[Kind, Convert]] = {
    Kind.DATE: str,
    Kind.TIME: str,
    Kind.DURATION: duration_microseconds,
    Kind.UUID: str,
    Kind.JSON: _json_text,
}
FROM_SQLITE: Final[dict[Kind, Convert]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.TEXT: _text,
    Kind.BINARY: _bytes,
    Kind.DATE: _date,
    Kind.TIME: partial(_parsed, parse_time),
    Kind.DURATION: lambda value: datetime.timedelta(microseconds=value),
    Kind.UUID: lambda value: UUID(str(value)),
    Kind.JSON: _json_value,
}
