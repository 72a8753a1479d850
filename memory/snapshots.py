"""Converts records to JSON texts for the cache, and back, without the fields that only search reads.

A snapshot is a JSON list of the values in the order of the model's fields. Times are microseconds since year 1,
vectors base64 of packed doubles, encrypted values ciphertexts. `form_of` identifies the model's fields: snapshots of
other fields are not read.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from .encryption import decrypt, encrypt
from .exceptions import StorageError
from .fields import EncryptedJSONField, Protected, VectorField, pack, unpack
from .sealing import SALT_BYTES, opened, reads_sealed, sealed

ModelT = TypeVar("ModelT", bound=models.Model)

EPOCH = datetime(1, 1, 1)  # noqa: DTZ001  (aware times are moved to UTC first)
MICROSECOND = timedelta(microseconds=1)
UNIX_EPOCH = (datetime(1970, 1, 1) - EPOCH) // MICROSECOND  # noqa: DTZ001
DIGITS = 18  # year 9999 in microseconds has 18
NEVER = "9" * DIGITS
HISTORY_KEY = "history:"
"""What keys of conversations that a `RedisClient` stores begin with, before the id of the session's row."""


class NotASnapshotError(ValueError):
    """The text is not a snapshot of this model."""


def microseconds(value: datetime) -> int:
    """Microseconds since year 1; aware times in UTC."""
    if settings.USE_TZ:
        if timezone.is_naive(value):
            value = timezone.make_aware(value)
        value = value.astimezone(UTC).replace(tzinfo=None)
    return (value - EPOCH) // MICROSECOND


def moment(count: int) -> datetime:
    """The inverse of `microseconds`."""
    value = EPOCH + count * MICROSECOND
    return value.replace(tzinfo=UTC) if settings.USE_TZ else value


def epoch_microseconds(value: datetime) -> int:
    """Microseconds since 1970; aware times in UTC."""
    return microseconds(value) - UNIX_EPOCH


def epoch_moment(count: int) -> datetime:
    """The inverse of `epoch_microseconds`."""
    return moment(count + UNIX_EPOCH)


def sortable(value: datetime | None) -> str:
    """A time as 18 digits that sort by time; None sorts last."""
    return NEVER if value is None else f"{microseconds(value):0{DIGITS}d}"


@dataclass(frozen=True, slots=True)
class _Coding:
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


_CODINGS: Mapping[type[models.Field[Any, Any]], _Coding] = {
    models.DateTimeField: _Coding(microseconds, moment),
    EncryptedJSONField: _Coding(encrypt, decrypt),
    VectorField: _Coding(lambda vector: b64encode(pack(vector)).decode(), lambda text: unpack(b64decode(text))),
}


def _fields(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    """The fields of a snapshot: all but those that only search reads, which are larger than most texts."""
    unread: frozenset[str] = getattr(model, "UNREAD_FIELDS", frozenset())
    return [field for field in model._meta.concrete_fields if field.name not in unread]


@cache
def _columns(model: type[models.Model]) -> tuple[tuple[str, _Coding | None], ...]:
    return tuple(
        (field.attname, next((coding for kind, coding in _CODINGS.items() if isinstance(field, kind)), None))
        for field in _fields(model)
    )


@cache
def _places(model: type[models.Model]) -> tuple[tuple[int, str], ...]:
    """The places of the fields that may be encrypted."""
    fields = enumerate(_fields(model))
    return tuple((place, field.name) for place, field in fields if isinstance(field, Protected))


def _protected_places(model: type[models.Model]) -> tuple[tuple[int, str], ...]:
    return _places(model) if reads_sealed() else ()


@cache
def form_of(model: type[models.Model]) -> str:
    """A short hash of the model's fields."""
    names = [(field.attname, type(field).__name__) for field in _fields(model)]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]


def take(record: models.Model) -> str:
    """The record's snapshot. Raises `ValueError` or `TypeError` if a value is an expression."""
    values = [
        value if coding is None or value is None else coding.encode(value)
        for value, coding in ((getattr(record, name), coding) for name, coding in _columns(type(record)))
    ]
    if names := _protected_places(type(record)):
        salt = hashlib.sha256(str(record.pk).encode()).digest()[:SALT_BYTES]  # the same record has the same snapshot
        for place, name in names:
            values[place] = sealed(record, name, values[place], None, salt)
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def restore(model: type[ModelT], snapshot: str | bytes, using: str) -> ModelT:
    """The record, as a query on `using` returns it. Raises `NotASnapshotError` for any other text."""
    return restore_all(model, [snapshot], using)[0]


def restore_all(model: type[ModelT], snapshots: Iterable[str | bytes], using: str) -> list[ModelT]:
    """The records of several snapshots. Raises `NotASnapshotError` if one is any other text."""
    columns, protected = _columns(model), _protected_places(model)
    names = dict.fromkeys(name for name, _ in columns).keys()
    decoders = [(place, coding.decode) for place, (_, coding) in enumerate(columns) if coding is not None]
    records = []
    for snapshot in snapshots:
        try:
            values = _loaded(snapshot, len(columns))
            for place, decode in decoders:
                if values[place] is not None:
                    values[place] = decode(values[place])
            for place, name in protected:
                values[place] = opened(values[place], name, using)
        except (ValueError, TypeError, OverflowError, RecursionError, StorageError) as error:
            raise NotASnapshotError("The text does not decode to the model's values.") from error
        records.append(model.from_db(using, names, values))
    return records


def _loaded(snapshot: str | bytes, length: int) -> list[Any]:
    values = json.loads(snapshot.decode() if isinstance(snapshot, bytes) else snapshot)
    if not isinstance(values, list) or len(values) != length:
        raise NotASnapshotError("The text is not a list of the model's values.")
    return values
