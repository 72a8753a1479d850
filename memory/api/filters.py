"""The filters of lists and of search."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final, cast

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from django_filters.utils import translate_validation
from drf_spectacular.drainage import set_override

from ..lookups import having_key, having_member
from ..models import AgentData, MemoryItem, UserSession
from ..querysets import MemoryItemQuerySet
from ..querysets.scan import Matches, has_member, needs_scan, same_value
from ..sealing import protected_keys
from ..search import MIN_SCORE
from ..text_index import MOST_CHARACTERS, MOST_RESULTS
from .fields import FILTER_TEXT, QUESTION, TIMESTAMP_FORMAT_ERROR, TIMESTAMP_RANGE_ERROR, WHOLE_NUMBER, parse_timestamp
from .parsers import parse_finite, reject_constant

ASKER = 'The speaker who says "I" in the question; default: the user of the memory.'
DEFAULT_RESULTS = 10
# A path in a query has at most 1,500 bytes: the column's name, a dot and two quotes are part of it, and a quote or a
# backslash in the key takes two.
MAX_FILTER_KEY_BYTES = 700
SHARE = re.compile(r"0|1|[01]\.0*|0\.\d+|\d+(\.\d+)?e-\d{1,3}", re.ASCII | re.IGNORECASE)
FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class Scalar:
    """A JSON string, number, true, false or null; wrapped to tell null from an absent value."""

    value: str | int | float | bool | None


class TimestampFormField(forms.Field):
    """An RFC 3339 time in a query parameter."""

    def to_python(self, value: Any) -> datetime | None:
        """Return the time in UTC."""
        if not value:
            return None
        try:
            return parse_timestamp(value)
        except OverflowError as error:
            raise forms.ValidationError(TIMESTAMP_RANGE_ERROR, code="out_of_range") from error
        except ValueError as error:
            raise forms.ValidationError(TIMESTAMP_FORMAT_ERROR, code="invalid") from error


class ScalarFormField(forms.CharField):
    """A JSON scalar in a query parameter. Text that is not JSON is taken as a string."""

    def to_python(self, value: Any) -> Any:
        """Return the wrapped value, or None if the parameter is absent."""
        text = super().to_python(value)
        return Scalar(parse_scalar(text)) if text else None

    def run_validators(self, value: Any) -> None:
        """Run the validators of `CharField` on strings only."""
        super().run_validators(value.value if isinstance(value, Scalar) and isinstance(value.value, str) else "")


def parse_scalar(text: str) -> str | int | float | bool | None:
    """Parse a JSON scalar; text that is not JSON is returned unchanged."""
    try:
        value = json.loads(text, parse_constant=reject_constant, parse_float=parse_finite)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list | dict):
        raise forms.ValidationError(
            "Enter a string, a number, true, false or null, not a list or an object.", code="invalid"
        )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise forms.ValidationError("Integers must fit in 64 bits.", code="invalid")
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise forms.ValidationError("Lone surrogates are not allowed.", code="invalid") from error
    return value  # type: ignore[no-any-return]


class ShapedFilter(filters.Filter):
    """A filter with an explicit OpenAPI schema. drf-spectacular would drop its help text otherwise."""

    SHAPE: ClassVar[Mapping[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        set_override(self, "field", {**self.SHAPE, "description": kwargs.get("help_text", "")})


class TextFilter(ShapedFilter, filters.CharFilter):
    """Equality with a string, which is not trimmed."""

    SHAPE = FILTER_TEXT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"strip": False, **kwargs})


class TimestampFilter(filters.IsoDateTimeFilter):
    """Comparison with an RFC 3339 time."""

    field_class = TimestampFormField  # type: ignore[assignment]


class ScalarFilter(ShapedFilter, filters.CharFilter):
    """A JSON scalar that another filter uses."""

    SHAPE = FILTER_TEXT
    field_class = ScalarFormField


class MomentFormField(TimestampFormField):
    """An RFC 3339 time, or `now`."""

    def to_python(self, value: Any) -> Any:
        """Return the time in UTC."""
        return timezone.now() if value == "now" else super().to_python(value)


ALL: Final = "all"
"""The value of `as_of` for records that are valid or not."""


class MomentOrAllFormField(MomentFormField):
    """An RFC 3339 time, `now`, or `all`."""

    def to_python(self, value: Any) -> Any:
        """Return the time in UTC, or `ALL`."""
        return ALL if value == ALL else super().to_python(value)


class MomentFilter(ShapedFilter):
    """A time at which records are to be valid."""

    SHAPE: ClassVar[Mapping[str, Any]] = {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "enum": ["now"]}]
    }
    field_class = MomentFormField


class MomentOrAllFilter(MomentFilter):
    """A time at which records are to be valid, or all records."""

    SHAPE: ClassVar[Mapping[str, Any]] = {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "enum": ["now", ALL]}],
        "default": "now",
    }
    field_class = MomentOrAllFormField


class LimitFormField(forms.Field):
    """The maximum number of results."""

    def to_python(self, value: Any) -> int | None:
        """Return the number, or None if the parameter is absent."""
        if not value:
            return None
        if not WHOLE_NUMBER.fullmatch(value) or int(value) > MOST_RESULTS:
            raise forms.ValidationError(f"Enter a whole number from 1 to {MOST_RESULTS}.", code="invalid")
        return int(value)


class LimitFilter(ShapedFilter):
    """A maximum number of results, which the view applies."""

    SHAPE = {"type": "integer", "minimum": 1, "maximum": MOST_RESULTS, "default": DEFAULT_RESULTS}
    field_class = LimitFormField


class FlagFormField(forms.Field):
    """`true` or `false`."""

    def to_python(self, value: Any) -> bool | None:
        """Return the flag, or None if the parameter is absent."""
        if value in FLAGS or not value:
            return FLAGS.get(value)
        raise forms.ValidationError("Enter true or false.", code="invalid")


class FlagFilter(ShapedFilter):
    """A boolean, which the view applies."""

    SHAPE = {"type": "boolean", "default": False}
    field_class = FlagFormField


class ScoreFormField(forms.Field):
    """A number from 0 to 1."""

    def to_python(self, value: Any) -> float | None:
        """Return the number, or None if the parameter is absent."""
        if not value:
            return None
        if not SHARE.fullmatch(value):
            raise forms.ValidationError("Enter a number from 0 to 1.", code="invalid")
        return float(value)


class ScoreFilter(ShapedFilter):
    """The least score of results, which the view applies."""

    SHAPE = {"type": "number", "minimum": 0, "maximum": 1, "default": 0}
    field_class = ScoreFormField


def validate_not_blank(value: str) -> None:
    """Reject a query that consists of white space."""
    if not value.strip():
        raise forms.ValidationError("Enter a search query.", code="blank")


class QueryFilter(TextFilter):
    """The search query, which the view applies."""

    SHAPE = QUESTION

    def __init__(self, **kwargs: Any) -> None:
        limits = {"required": True, "max_length": MOST_CHARACTERS, "validators": [validate_not_blank]}
        super().__init__(**limits, **kwargs)


class RecordFilterBackend(filters.DjangoFilterBackend):
    """Django-filter's backend. `matches` and `is_current` of the view are what it leaves to the pagination."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """The filtered records."""
        view.is_current = view.lists_current and "as_of" not in request.query_params
        # A form takes longer than the rest of a request for one record, which has no parameters. A search has some.
        if view.action != "search" and view.filterset_class.base_filters.keys().isdisjoint(request.query_params):
            view.matches = None
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise cast(Exception, translate_validation(filterset.errors))  # its stub declares another type
        found: QuerySet[Any] = filterset.qs
        view.matches = getattr(filterset, "matches", None)
        return found


class ParameterForm(forms.Form):
    """Validates query parameters that depend on each other."""

    def clean(self) -> dict[str, Any]:
        """Require `metadata_key` with `metadata_value`."""
        values = self.cleaned_data
        if values.get("metadata_value") is not None and not values.get("metadata_key"):
            missing = forms.ValidationError("metadata_value requires metadata_key.", code="required")
            self.add_error("metadata_key", missing)
        return values


def validate_key(key: str) -> None:
    """Reject a key that Firestore cannot filter by."""
    if (size := len(key.encode(errors="surrogatepass"))) > MAX_FILTER_KEY_BYTES:
        message = f"Keys in filters have at most {MAX_FILTER_KEY_BYTES} bytes; this one has {size}."
        raise forms.ValidationError(message, code="too_long")
    if key in protected_keys():
        raise forms.ValidationError("This key is encrypted: records cannot be filtered by it.", code="encrypted")


def matches_metadata(record: Any, key: str, wanted: Scalar | None) -> bool:
    """Whether a record's metadata has the key, and the value if one is wanted."""
    if not has_member(record.metadata, key):
        return False
    return wanted is None or same_value(record.metadata[key], wanted.value)


class RecordFilter(filters.FilterSet):
    """Filters by a metadata key, and optionally by its value."""

    # Whether the view reads pages in order, and can so evaluate a filter that has no index.
    scans: ClassVar[bool] = True

    metadata_key = TextFilter(
        method="by_metadata",
        validators=[validate_key],
        help_text="Records whose `metadata` has this top-level key. Dots and quotes are part of the key.",
    )
    metadata_value = ScalarFilter(
        method="applied_by_key",
        strip=False,
        help_text='The value of `metadata_key` as JSON (`5`, `true`, `null`, `"5"`). Other text is taken as a string.',
    )

    # Evaluates in Python what the queryset does not: `CursorPagination` asks for it.
    matches: Matches | None = None

    def by_metadata(self, queryset: QuerySet[Any], name: str, key: str) -> QuerySet[Any]:
        """Records with the key, and with the value if one is given."""
        wanted = self.form.cleaned_data["metadata_value"]
        if self.scans and needs_scan(queryset.db):
            self.matches = partial(matches_metadata, key=key, wanted=wanted)
            return queryset
        if wanted is None:
            return having_key(queryset, "metadata", key)
        return having_member(queryset, "metadata", key, wanted.value)

    def applied_by_key(self, queryset: QuerySet[Any], name: str, value: Scalar) -> QuerySet[Any]:
        """No-op: `by_metadata` applies the value."""
        return queryset


class MemoryItemFilter(RecordFilter):
    """Filters of memory items."""

    user_id = TextFilter(help_text="The owner. Useful with the permission to act for others.")
    session_id = TextFilter(help_text="The session.")
    item_type = TextFilter(help_text="The type.")
    persona_active = TextFilter(help_text="The persona.")
    since = TimestampFilter(field_name="timestamp", lookup_expr="gte", help_text="At or after this time.")
    until = TimestampFilter(field_name="timestamp", lookup_expr="lt", help_text="Before this time.")
    as_of: MomentFilter = MomentOrAllFilter(
        method="valid_at", help_text="Items that are valid at this time, or `now`; `all`: superseded ones, too."
    )

    def valid_at(self, queryset: MemoryItemQuerySet, name: str, value: Any) -> MemoryItemQuerySet:
        """Items that are valid at a time, or all. Without the parameter the pagination leaves out what is not valid."""
        return queryset if value == ALL else queryset.as_of(value)

    class Meta:
        model = MemoryItem
        fields: tuple[str, ...] = ()
        form = ParameterForm


class MemoryItemSearch(MemoryItemFilter):
    """The parameters of search: the query, and the filters of a list."""

    scans = False

    user_id = TextFilter(
        method="applied_by_view",
        help_text="The user whose memory is searched; default: yourself. Others require a permission.",
    )
    q = QueryFilter(method="applied_by_view", help_text="The search query: a question, or keywords.")
    limit = LimitFilter(
        method="applied_by_view",
        help_text=f"Maximum number of results, 1 to {MOST_RESULTS}; default: {DEFAULT_RESULTS}.",
    )
    explain = FlagFilter(method="applied_by_view", help_text="Whether to include the parts of each score.")
    min_score = ScoreFilter(
        method="applied_by_view",
        help_text=f"Leave out results with a lower score, 0 to 1; below {MIN_SCORE} there is probably no answer.",
    )
    as_of = MomentFilter(
        method="applied_by_view",
        help_text="Results that are valid at this time come first; default: `now`. See `valid` of each result.",
    )
    importance = ScoreFilter(
        method="applied_by_view", help_text="Weight of the items' `importance` in the order, 0 to 1; default: 0."
    )
    recency = ScoreFilter(
        method="applied_by_view", help_text="Weight of how new an item is in the order, 0 to 1; default: 0."
    )
    hidden = FlagFilter(
        method="applied_by_view", help_text="Whether to find items whose metadata has a true `hidden`, too."
    )
    asker = TextFilter(method="applied_by_view", help_text=ASKER)

    def applied_by_view(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """No-op: the view passes these to the search."""
        return queryset


class MemoryItemQuestions(MemoryItemSearch):
    """The filters of a search of several questions, whose serializer validates the rest."""

    q = None  # type: ignore[assignment]  # removes the filter


class AgentDataFilter(RecordFilter):
    """Filters of agent data."""

    agent_id = TextFilter(help_text="The owner. Useful with the permission to act for others.")
    data_type = TextFilter(help_text="The type.")
    since = TimestampFilter(field_name="timestamp", lookup_expr="gte", help_text="At or after this time.")
    until = TimestampFilter(field_name="timestamp", lookup_expr="lt", help_text="Before this time.")

    class Meta:
        model = AgentData
        fields: tuple[str, ...] = ()
        form = ParameterForm


class UserSessionFilter(RecordFilter):
    """Filters of sessions."""

    user_id = TextFilter(help_text="The owner. Useful with the permission to act for others.")
    session_id = TextFilter(help_text="The `session_id`.")
    since = TimestampFilter(
        field_name="last_activity", lookup_expr="gte", help_text="Last activity at or after this time."
    )
    until = TimestampFilter(field_name="last_activity", lookup_expr="lt", help_text="Last activity before this time.")

    class Meta:
        model = UserSession
        fields: tuple[str, ...] = ()
        form = ParameterForm
