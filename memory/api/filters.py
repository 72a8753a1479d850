"""What a list can be narrowed by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field

from ..lookups import having_key, having_member
from ..models import AgentData, MemoryItem, UserSession
from .fields import NO_NUL, TIMESTAMP_WANTED, YEARS_WANTED, parse_timestamp
from .parsers import finite, refuse_constant


@dataclass(frozen=True)
class Scalar:
    """A JSON text, number, true, false or null; wrapped, since null is a value too."""

    value: str | int | float | bool | None


class TimestampFormField(forms.Field):
    """A time of RFC 3339 in a query parameter."""

    def to_python(self, value: Any) -> datetime | None:
        """The time in UTC."""
        if not value:
            return None
        try:
            return parse_timestamp(value)
        except OverflowError as error:
            raise forms.ValidationError(YEARS_WANTED, code="out_of_range") from error
        except ValueError as error:
            raise forms.ValidationError(TIMESTAMP_WANTED, code="invalid") from error


class ScalarFormField(forms.CharField):
    """A JSON text, number, true, false or null in a query parameter; what is not JSON is a text as it stands."""

    def to_python(self, value: Any) -> Any:
        """The value, wrapped; None where there is none."""
        text = super().to_python(value)
        return Scalar(parse_scalar(text)) if text else None

    def run_validators(self, value: Any) -> None:
        """Those of `CharField` look at texts."""
        super().run_validators(value.value if isinstance(value, Scalar) and isinstance(value.value, str) else "")


def parse_scalar(text: str) -> str | int | float | bool | None:
    """The value of JSON; a text that is not JSON is itself."""
    try:
        value = json.loads(text, parse_constant=refuse_constant, parse_float=finite)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list | dict):
        raise forms.ValidationError("A text, a number, true, false or null; not a list or a map.", code="invalid")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise forms.ValidationError("A whole number must fit 64 bits.", code="invalid")
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise forms.ValidationError("This text has a lone surrogate.", code="invalid") from error
    return value  # type: ignore[no-any-return]


@extend_schema_field({"type": "string", "minLength": 1, "pattern": NO_NUL})
class TextFilter(filters.CharFilter):
    """Equality with a text, kept as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"strip": False, **kwargs})


class TimestampFilter(filters.IsoDateTimeFilter):
    """Comparison with a time of RFC 3339."""

    field_class = TimestampFormField  # type: ignore[assignment]


@extend_schema_field({"type": "string", "minLength": 1, "pattern": NO_NUL})
class ScalarFilter(filters.CharFilter):
    """A JSON value, for another filter's use."""

    field_class = ScalarFormField


class ParameterForm(forms.Form):
    """The parameters of a list, checked together."""

    def clean(self) -> dict[str, Any]:
        """A value needs a key."""
        values = self.cleaned_data
        if values.get("metadata_value") is not None and not values.get("metadata_key"):
            missing = forms.ValidationError("metadata_value needs a metadata_key.", code="required")
            self.add_error("metadata_key", missing)
        return values


class RecordFilter(filters.FilterSet):
    """By metadata: rows that have a key, or a value under it."""

    metadata_key = TextFilter(
        method="by_metadata", help_text="A key of `metadata`, as it is, dots and quotes too: records that have it."
    )
    metadata_value = ScalarFilter(
        method="with_metadata_key",
        strip=False,
        help_text='What stands under `metadata_key`: JSON (`5`, `true`, `null`, `"5"`); what is not JSON is a text.',
    )

    def by_metadata(self, queryset: QuerySet[Any], name: str, key: str) -> QuerySet[Any]:
        """Records with the key, and with the value where one is asked for."""
        wanted = self.form.cleaned_data["metadata_value"]
        if wanted is None:
            return having_key(queryset, "metadata", key)
        return having_member(queryset, "metadata", key, wanted.value)

    def with_metadata_key(self, queryset: QuerySet[Any], name: str, value: Scalar) -> QuerySet[Any]:
        """`by_metadata` does it."""
        return queryset


class MemoryItemFilter(RecordFilter):
    """Memory items by user, session, type, persona, time and metadata."""

    user_id = TextFilter(help_text="Whose; of use to those who may act for others.")
    session_id = TextFilter(help_text="Of one session.")
    item_type = TextFilter(help_text="Of one type.")
    persona_active = TextFilter(help_text="Of one persona.")
    since = TimestampFilter(field_name="timestamp", lookup_expr="gte", help_text="From this time on.")
    until = TimestampFilter(field_name="timestamp", lookup_expr="lt", help_text="Before this time.")

    class Meta:
        model = MemoryItem
        fields: tuple[str, ...] = ()
        form = ParameterForm


class AgentDataFilter(RecordFilter):
    """Agents' data by agent, type, time and metadata."""

    agent_id = TextFilter(help_text="Whose; of use to those who may act for others.")
    data_type = TextFilter(help_text="Of one type.")
    since = TimestampFilter(field_name="timestamp", lookup_expr="gte", help_text="From this time on.")
    until = TimestampFilter(field_name="timestamp", lookup_expr="lt", help_text="Before this time.")

    class Meta:
        model = AgentData
        fields: tuple[str, ...] = ()
        form = ParameterForm


class UserSessionFilter(RecordFilter):
    """Sessions by user, session id, time of last activity and metadata."""

    user_id = TextFilter(help_text="Whose; of use to those who may act for others.")
    session_id = TextFilter(help_text="By the session's own id.")
    since = TimestampFilter(field_name="last_activity", lookup_expr="gte", help_text="Active from this time on.")
    until = TimestampFilter(field_name="last_activity", lookup_expr="lt", help_text="Last active before this time.")

    class Meta:
        model = UserSession
        fields: tuple[str, ...] = ()
        form = ParameterForm
