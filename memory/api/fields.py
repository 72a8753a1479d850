"""Serializer fields that take exactly what the schema says: no coercion, no trimming, nothing dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from .. import limits
from ..fields import VectorField as VectorModelField
from ..fields import validate_document_id
from .permissions import may_act_for

# https://www.rfc-editor.org/rfc/rfc3339#section-5.6
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
TIMESTAMP_WANTED = (
    "This must be a time with its offset (RFC 3339), such as 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00; "
    "in a URL, a plus sign has to be escaped."
)
YEARS_WANTED = "Times are kept from the year 1 to the year 9999, in UTC."
NO_NUL = r"^[^\u0000]*$"
# Paths of the API below a collection, so not to be ids in it.
RESERVED_IDS = frozenset({"bulk", "check-duplicate", "search"})


def parse_timestamp(text: str) -> datetime:
    """A time of RFC 3339 in UTC, cut to microseconds.

    Anything else is a `ValueError`, a time before the year 1 or after 9999 an `OverflowError`.
    """
    if not RFC3339.fullmatch(text.upper()):
        raise ValueError(TIMESTAMP_WANTED)
    if text.startswith("0000"):
        raise OverflowError(YEARS_WANTED)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


class TextField(serializers.CharField):
    """A JSON string, kept as it is; a number is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "trim_whitespace": False})

    def to_internal_value(self, data: Any) -> str:
        """The string itself."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": limits.MAX_ID_BYTES, "pattern": r"^[^/\u0000]+$"})
class IdField(TextField):
    """A document's id: at most 1,500 bytes, without a slash."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators = [*self.validators, validate_document_id, not_reserved]


def not_reserved(value: str) -> None:
    """Refuse an id that the API's own paths hide."""
    if value in RESERVED_IDS:
        raise ValidationError(f"{value!r} is a path of the API and cannot be an id.", code="invalid_id")


class OwnerField(TextField):
    """Whose record it is: by default, and without a permission to act for others, the principal's."""

    default_error_messages = {
        "not_yours": "You may write your own records only: leave this out, or ask for memory.act_for_any_user."
    }

    def to_internal_value(self, data: Any) -> str:
        """The owner's id, if the principal may write in its name."""
        owner = super().to_internal_value(data)
        if not may_act_for(self.context["request"], owner):
            self.fail("not_yours")
        return owner


class TimestampField(serializers.DateTimeField):
    """RFC 3339 in, UTC out."""

    default_error_messages = {"invalid": TIMESTAMP_WANTED, "out_of_range": YEARS_WANTED}

    def to_internal_value(self, value: Any) -> datetime:
        """The time in UTC."""
        if not isinstance(value, str):
            self.fail("invalid")
        try:
            return parse_timestamp(value)
        except OverflowError:
            self.fail("out_of_range")
        except ValueError:
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        """With microseconds where there are any, and `Z`."""
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


class JSONField(serializers.JSONField):
    """Any JSON value that storage can keep; the model's validators tell the rest."""

    default_error_messages = {"null_characters_not_allowed": "Null characters are not allowed."}

    def to_internal_value(self, data: Any) -> Any:
        """The value itself."""
        if "\x00" in "".join(texts(data)):
            self.fail("null_characters_not_allowed")
        return data


@extend_schema_field({"type": "object", "additionalProperties": {}})
class MapField(JSONField):
    """A JSON object."""


def texts(value: Any) -> Iterable[str]:
    """Every string in a JSON value, keys too, however deep it nests."""
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

    default_error_messages = {"invalid": "A vector is a list of numbers."}

    def to_internal_value(self, data: Any) -> list[float] | None:
        """The numbers as floats; the model's field tells what is wrong with them."""
        if not isinstance(data, list):
            self.fail("invalid")
        return VectorModelField().to_python(data)

    def to_representation(self, value: list[float]) -> list[float]:
        """The floats."""
        return value


def taken(name: str = "id") -> ValidationError:
    """The error for an id that somebody has, without telling who."""
    return ValidationError({name: [TAKEN]})


TAKEN = ErrorDetail("This id is taken.", code="taken")
