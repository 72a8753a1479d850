"""Filters of the change lists. They use what Firestore supports natively: equality, ranges, order and limit.

Those with `reads_records` do not: the list looks their values up in a bounded number of records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .figures import Countable, counts_of, distinct

MAX_CHOICES = 25
# Of a choice, if counts are shown.
MOST_COUNTED = 1_000
# Records that a list sorts, since the index of its filter has another order.
MOST_SORTED = 10_000
ROLES = ("user", "assistant", "system", "tool")


def values_of(model: type[Model], field: str) -> list[str]:
    """The first `MAX_CHOICES` distinct values of a field in order: one query for each, which reads one index entry.

    Firestore has no DISTINCT, and that of SQL reads the whole index.
    """
    return list(distinct(model._base_manager.all(), field, MAX_CHOICES))


def with_selected(selected: str | None, values: Sequence[str]) -> list[tuple[Any, str]]:
    """The choices of a filter: the values, and the selected one if it is not among them."""
    more = [] if selected is None or selected in values else [selected]
    return [(value, value) for value in (*values, *more)]


class BoundedFacets:
    """Counts of choices that stop at `MOST_COUNTED`: one for each choice, shown on demand (`?_facets=True`)."""

    def get_facet_queryset(self, changelist: ChangeList) -> dict[str, Any]:
        """The counts in the form of Django's."""
        own: Any = self
        rows = changelist.get_queryset(own.request, exclude_parameters=own.expected_parameters())
        choices = list(self.facet_choices(rows))
        counted = counts_of([Countable(some, self.facet_field(rows), MOST_COUNTED) for some in choices])
        return {f"{number}__c": count for number, count in enumerate(counted)}

    def facet_field(self, rows: QuerySet[Any]) -> str:
        """The column that is read."""
        return str(rows.model._meta.pk.name)

    def facet_choices(self, rows: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
        """The records of each choice."""
        own: Any = self
        given = own.used_parameters.get(own.parameter_name)
        for value, _title in own.lookup_choices:
            own.used_parameters[own.parameter_name] = value
            yield own.queryset(own.request, rows)
        own.used_parameters.pop(own.parameter_name)
        if given is not None:
            own.used_parameters[own.parameter_name] = given


class DateRangeFilter(BoundedFacets, admin.DateFieldListFilter):
    """Django's choices of times, and days from and to that are typed in or picked."""

    template = "admin/memory/date_filter.html"

    def __init__(self, field: Any, request: HttpRequest, *args: Any, field_path: str) -> None:
        self.from_name, self.to_name = f"{field_path}_from", f"{field_path}_to"
        self.others: dict[str, Any] = {}
        self.request = request
        super().__init__(field, request, *args, field_path=field_path)  # type: ignore[misc]

    def expected_parameters(self) -> list[str | None]:
        """Also those of the days."""
        return [*super().expected_parameters(), self.from_name, self.to_name]

    @property
    def first(self) -> str:
        """The first day, as it was given."""
        return self._given(self.from_name)

    @property
    def last(self) -> str:
        """The last day, as it was given."""
        return self._given(self.to_name)

    def _given(self, name: str) -> str:
        value = self.used_parameters.get(name, "")
        return str(value[-1] if isinstance(value, list) else value)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Both days belong to the range; a text that is no day is ignored."""
        lookups: dict[str, Any] = {}
        if (start := start_of(self.first)) is not None:
            lookups[f"{self.field_path}__gte"] = start
        if (end := start_of(self.last, days=1)) is not None:
            lookups[f"{self.field_path}__lt"] = end
        kept = self.used_parameters
        self.used_parameters = {
            name: value for name, value in kept.items() if name not in (self.from_name, self.to_name)
        }
        try:
            found: QuerySet[Any] = super().queryset(request, queryset)  # type: ignore[assignment]
        finally:
            self.used_parameters = kept
        return found.filter(**lookups)

    def facet_choices(self, rows: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
        """The records of each of Django's choices."""
        for _title, parameters in self.links:
            yield rows.filter(**parameters)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Django's; the form needs the other parameters, too."""
        own = set(self.expected_parameters())
        self.others = {name: value for name, value in changelist.params.items() if name not in own}
        yield from super().choices(changelist)


def start_of(day: str, days: int = 0) -> datetime | None:
    """The start of a day (`2026-03-01`) in the current time zone, or of a day after it; None for another text."""
    try:
        return datetime.combine(date.fromisoformat(day) + timedelta(days=days), time(), timezone.get_current_timezone())
    except (ValueError, OverflowError):
        return None


class ExactFilter(admin.SimpleListFilter):
    """Filters by a value entered as text, for fields with many values."""

    template = "admin/memory/exact_filter.html"
    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """The template's context: the value, the other parameters, and the query string without this filter."""
        others = {name: value for name, value in changelist.params.items() if name != self.parameter_name}
        yield {
            "value": self.value() or "",
            "others": others,
            "query_string": changelist.get_query_string(remove=[str(self.parameter_name)]),
            "names_url": reverse("admin:memory_people_names") if self.field == "user_id" else "",
        }


class KnownValuesFilter(BoundedFacets, admin.SimpleListFilter):
    """Filters by one of the stored values."""

    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return with_selected(self.value(), values_of(model_admin.model, self.field))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() is not None else queryset


class UserFilter(ExactFilter):
    """Filters by user."""

    title = _("user")
    parameter_name = field = "user_id"


class SessionFilter(ExactFilter):
    """Filters by session."""

    title = _("session")
    parameter_name = field = "session_id"


class AsOfFilter(ExactFilter):
    """Items that are valid at a time: `now`, or a day or time as text. Another text is ignored."""

    title = _("validity at (now, 2026-01-31)")
    parameter_name = field = "as_of"
    reads_records = True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found: Any = queryset
        text = self.value() or ""
        if text == "now":
            return found.as_of()  # type: ignore[no-any-return]
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return queryset
        if timezone.is_naive(at):
            at = timezone.make_aware(at)
        return found.as_of(at)  # type: ignore[no-any-return]


class ThreadFilter(ExactFilter):
    """Filters by an agent's thread."""

    title = _("thread")
    parameter_name = field = "thread_id"


class AgentFilter(ExactFilter):
    """Filters by agent."""

    title = _("agent")
    parameter_name = field = "agent_id"


class ItemTypeFilter(KnownValuesFilter):
    """Filters by item type."""

    title = _("type")
    parameter_name = field = "item_type"


class PersonaFilter(KnownValuesFilter):
    """Filters by persona."""

    title = _("persona")
    parameter_name = field = "persona_active"


class DataTypeFilter(KnownValuesFilter):
    """Filters by data type."""

    title = _("type")
    parameter_name = field = "data_type"


class RoleFilter(BoundedFacets, admin.SimpleListFilter):
    """Filters by `metadata["role"]`."""

    title = _("role")
    parameter_name = "role"
    reads_records = True

    def get_facet_queryset(self, changelist: ChangeList) -> dict[str, Any]:
        """Counts in the memory of one user or session; no index has the roles of all."""
        narrow = {"user_id", "session_id"}.intersection(changelist.params)
        return super().get_facet_queryset(changelist) if narrow else {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return with_selected(self.value(), ROLES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(metadata__role=self.value()) if self.value() is not None else queryset


class ExpiringFilter(BoundedFacets, admin.SimpleListFilter):
    """Filters by the time until expiration."""

    title = _("expiration")
    parameter_name = "expiring"

    WITHIN: ClassVar[Mapping[str, timedelta]] = {
        "day": timedelta(days=1),
        "week": timedelta(days=7),
        "month": timedelta(days=30),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [
            ("day", _("Within a day")),
            ("week", _("Within 7 days")),
            ("month", _("Within 30 days")),
            ("never", _("Never")),
        ]

    @property
    def reads_records(self) -> bool:
        """Whether the choice is looked up: the index of expirations has most records of it, and in another order."""
        return self.value() == "never"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = self.of_choice(queryset, self.value() or "")
        if self.value() is None or connections[queryset.db].vendor == "firestore":
            return found
        if self.reads_records:
            return queryset.exclude(expiration__isnull=False)  # a negation: SQLite uses no index for it
        # Two ends: SQLite reads few by the index of expirations. Many are found sooner in the order of time.
        soon = found.filter(expiration__gt=timezone.now())
        return soon if soon.order_by()[: MOST_SORTED + 1].count() <= MOST_SORTED else found

    def facet_choices(self, rows: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
        """By the index, in any order."""
        for value, _title in self.lookup_choices:
            yield self.of_choice(rows, str(value))

    def of_choice(self, rows: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        """The records of a choice; all without one."""
        if chosen == "never":
            return rows.filter(expiration__isnull=True)
        if chosen in self.WITHIN:
            return rows.filter(expiration__lte=timezone.now() + self.WITHIN[chosen])
        return rows
