"""What a list can be narrowed by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.drainage import set_override

from ..lookups import having_key, having_member
from ..models import AgentData, MemoryItem, UserSession
from ..search.recall import MOST_CHARACTERS, MOST_RESULTS
from .fields import NO_NUL, TIMESTAMP_WANTED, YEARS_WANTED, parse_timestamp
from .pagination import WHOLE_NUMBER
from .parsers import finite, refuse_constant

RESULTS = 10
TEXT = {"type": "string", "minLength": 1, "pattern": NO_NUL}
FLAGS = {"true": True, "false": False}


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


class ShapedFilter(filters.Filter):
    """Tells OpenAPI its shape, and with it its help text, which would be dropped otherwise."""

    SHAPE: ClassVar[Mapping[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        set_override(self, "field", {**self.SHAPE, "description": kwargs.get("help_text", "")})


class TextFilter(ShapedFilter, filters.CharFilter):
    """Equality with a text, kept as it is."""

    SHAPE = TEXT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"strip": False, **kwargs})


class TimestampFilter(filters.IsoDateTimeFilter):
    """Comparison with a time of RFC 3339."""

    field_class = TimestampFormField  # type: ignore[assignment]


class ScalarFilter(ShapedFilter, filters.CharFilter):
    """A JSON value, for another filter's use."""

    SHAPE = TEXT
    field_class = ScalarFormField


class CountFormField(forms.Field):
    """How many results are wanted."""

    def to_python(self, value: Any) -> int | None:
        """The number; None where there is none."""
        if not value:
            return None
        if not WHOLE_NUMBER.fullmatch(value) or int(value) > MOST_RESULTS:
            raise forms.ValidationError(f"This must be a whole number from 1 to {MOST_RESULTS}.", code="invalid")
        return int(value)


class CountFilter(ShapedFilter):
    """A number of results, for another's use."""

    SHAPE = {"type": "integer", "minimum": 1, "maximum": MOST_RESULTS, "default": RESULTS}
    field_class = CountFormField


class FlagFormField(forms.Field):
    """`true` or `false`."""

    def to_python(self, value: Any) -> bool | None:
        """The flag; None where there is none."""
        if value in FLAGS or not value:
            return FLAGS.get(value)
        raise forms.ValidationError("This must be true or false.", code="invalid")


class FlagFilter(ShapedFilter):
    """Yes or no, for another's use."""

    SHAPE = {"type": "boolean", "default": False}
    field_class = FlagFormField


def says_something(value: str) -> None:
    """Refuse a question of nothing but spaces."""
    if not value.strip():
        raise forms.ValidationError("This is empty: say what to look for.", code="blank")


class QuestionFilter(TextFilter):
    """What is asked, for the search's use."""

    SHAPE = {**TEXT, "maxLength": MOST_CHARACTERS, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}

    def __init__(self, **kwargs: Any) -> None:
        limits = {"required": True, "max_length": MOST_CHARACTERS, "validators": [says_something]}
        super().__init__(**limits, **kwargs)


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


class MemoryItemSearch(MemoryItemFilter):
    """What a search takes: the question, and what a list can be narrowed by."""

    user_id = TextFilter(
        method="nothing_more", help_text="Whose memory, yours unless given; of use to those who may act for others."
    )
    q = QuestionFilter(method="nothing_more", help_text="What to look for: a question, or some words.")
    limit = CountFilter(method="nothing_more", help_text=f"Results, 1 to {MOST_RESULTS}; {RESULTS} unless given.")
    explain = FlagFilter(method="nothing_more", help_text="Whether to tell the parts of each score.")

    def nothing_more(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """The search itself takes these."""
        return queryset


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
