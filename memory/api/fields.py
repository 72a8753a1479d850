"""Strict serializer fields: values are not coerced, trimmed or dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from django.db import connections, router
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from .. import limits
from ..fields import MOST_IDS, validate_document_id
from ..fields import VectorField as VectorModelField
from ..models import MemoryItem
from ..text_index import MOST_CHARACTERS
from .permissions import may_act_for

# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
TIMESTAMP_FORMAT_ERROR = (
    "Enter an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00. "
    "In a URL, escape the plus sign."
)
TIMESTAMP_RANGE_ERROR = "Times must be between the years 1 and 9999 in UTC."
WHOLE_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
NO_NUL_PATTERN = r"^[^\u0000]*$"


def parse_timestamp(text: str) -> datetime:
    """Parse an RFC 3339 time to UTC, truncated to microseconds.

    Raises `ValueError` for other text, `OverflowError` for a time outside of the years 1 to 9999.
    """
    if not RFC3339.fullmatch(text.upper()):
        raise ValueError(TIMESTAMP_FORMAT_ERROR)
    if text.startswith("0000"):
        raise OverflowError(TIMESTAMP_RANGE_ERROR)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def prohibits_nul() -> bool:
    """Whether the database of the models, such as PostgreSQL, cannot store null characters."""
    features = connections[router.db_for_write(MemoryItem)].features
    return features.prohibits_null_characters_in_text_exception is not None


def validate_nul(value: str) -> None:
    """Reject null characters if the database cannot store them."""
    if "\x00" in value and prohibits_nul():
        raise ValidationError("Null characters are not allowed.", code="null_characters_not_allowed")


class TextField(serializers.CharField):
    """A JSON string, not trimmed; numbers and booleans are invalid."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "trim_whitespace": False})
        others = [each for each in self.validators if not isinstance(each, ProhibitNullCharactersValidator)]
        self.validators = [*others, validate_nul]

    def to_internal_value(self, data: Any) -> str:
        """Return the string unchanged."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": limits.MAX_ID_BYTES, "pattern": r"^[^/]+$"})
class IdField(TextField):
    """A document id: at most 1,500 bytes, without a slash."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators = [*self.validators, validate_document_id, validate_not_reserved]


def validate_not_reserved(value: str) -> None:
    """Reject an id that is also a path of the API."""
    if value in limits.RESERVED_IDS:
        raise ValidationError(f"{value!r} is reserved for a path of the API.", code="invalid_id")


class IdsField(serializers.ListField):
    """A list of at most 100 distinct document ids."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=IdField(), max_length=MOST_IDS, **kwargs)

    def to_representation(self, data: Any) -> Any:
        """The stored ids, which are texts."""
        return data


class OwnerField(TextField):
    """The record's owner. Other owners than the principal need the permission to act for them."""

    default_error_messages = {
        "not_yours": "You can only write your own records. Writing for others requires memory.act_for_any_user."
    }

    def to_internal_value(self, data: Any) -> str:
        """The owner's id, if the principal may act for it."""
        owner = super().to_internal_value(data)
        if not may_act_for(self.context["request"], owner):
            self.fail("not_yours")
        return owner


class TimestampField(serializers.DateTimeField):
    """A time: RFC 3339 as input, UTC as output."""

    default_error_messages = {"invalid": TIMESTAMP_FORMAT_ERROR, "out_of_range": TIMESTAMP_RANGE_ERROR}

    def to_internal_value(self, value: Any) -> datetime:
        """Return the time in UTC."""
        if not isinstance(value, str):
            self.fail("invalid")
        try:
            return parse_timestamp(value)
        except OverflowError:
            self.fail("out_of_range")
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        """ISO 8601 with `Z`, and with microseconds unless they are zero."""
        in_utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return f"{in_utc.isoformat().removesuffix('+00:00')}Z"


QUESTION = {
    "type": "string",
    "minLength": 1,
    "maxLength": MOST_CHARACTERS,
    # `\s` differs between regular expressions: Python's includes the separators \u001c to \u001f.
    "pattern": r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$",
}
"""The schema of a search query."""


FILTER_TEXT = {"type": "string", "minLength": 1, "pattern": NO_NUL_PATTERN}
"""The schema of a text that records are filtered by."""


@extend_schema_field(FILTER_TEXT)
class FilterTextField(TextField):
    """A text that records are filtered by: not empty, without null characters on every database."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators = [*self.validators, ProhibitNullCharactersValidator()]


@extend_schema_field(QUESTION)
class QuestionField(TextField):
    """A search query: not blank, without null characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MOST_CHARACTERS, **kwargs)
        self.validators = [*self.validators, ProhibitNullCharactersValidator(), validate_question]


def validate_question(value: str) -> None:
    """Reject a query that consists of white space."""
    if not value.strip():
        raise ValidationError("Enter a search query.", code="blank")


class StrictIntegerField(serializers.IntegerField):
    """A JSON integer; texts, booleans and fractions are invalid."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, float) and data.is_integer():
            data = int(data)  # 5.0 is an integer in JSON Schema
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class StrictNumberField(serializers.FloatField):
    """A JSON number; texts and booleans are invalid."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    """True or false; texts and numbers are invalid."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the flag."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


SCALAR = {
    "anyOf": [
        {"type": "string", "pattern": NO_NUL_PATTERN},
        {"type": "number"},
        {"type": "boolean"},
    ],
    "nullable": True,
}
"""The schema of a value that records are filtered by.

Integers must have 64 bits. JSON schema cannot express this: 1e30 is an integer there, too.
"""


@extend_schema_field(SCALAR)
class ScalarField(serializers.Field[Any, Any, Any, Any]):
    """A JSON text, number, true, false or null."""

    default_error_messages = {"invalid": "Enter a string, a number, true, false or null, not a list or an object."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the value."""
        if isinstance(data, list | dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        """Return the value."""
        return value


class JSONField(serializers.JSONField):
    """Any JSON value; the model's validators check the rest."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the value unchanged."""
        if prohibits_nul():
            validate_nul("".join(strings_in(data)))
        return data


@extend_schema_field({"type": "object", "additionalProperties": {}})
class MapField(JSONField):
    """A JSON object."""


def strings_in(value: Any) -> Iterable[str]:
    """Every string in a JSON value at any depth, keys included."""
    pending = [value]
    while pending:
        member = pending.pop()
        if isinstance(member, str):
            yield member
        elif isinstance(member, Mapping):
            pending.extend(member.keys())
            pending.extend(member.values())
        elif isinstance(member, list):
            pending.extend(member)


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "number", "format": "double"},
        "minItems": 1,
        "maxItems": limits.MAX_DIMENSIONS,
    }
)
class VectorField(serializers.Field[Any, Any, Any, Any]):
    """A list of 1 to 2,048 finite numbers."""

    default_error_messages = {"invalid": "Enter a list of numbers."}

    def to_internal_value(self, data: Any) -> list[float] | None:
        """Convert to floats; the model field validates them."""
        if not isinstance(data, list):
            self.fail("invalid")
        return VectorModelField().to_python(data)

    def to_representation(self, value: list[float]) -> list[float]:
        """Return the floats unchanged."""
        return value


def id_taken(name: str = "id") -> ValidationError:
    """The error for an id that exists already, without naming its owner."""
    return ValidationError({name: [ID_TAKEN]})


ID_TAKEN = ErrorDetail("A record with this id already exists.", code="taken")
