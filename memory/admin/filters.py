"""Filters of the change lists. They only use what Firestore supports natively: equality, ranges, order and limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import connections
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

MAX_CHOICES = 25
ROLES = ("user", "assistant", "system", "tool")


def values_of(model: type[Model], field: str) -> list[str]:
    """The first `MAX_CHOICES` distinct values of a field in order: one query, on Firestore one for each.

    Firestore has no DISTINCT. Each query reads the first row above the preceding value, which is billed as one read.
    """
    rows = model._base_manager.order_by(field).values_list(field, flat=True)
    if connections[rows.db].vendor != "firestore":
        stored = rows.filter(**{f"{field}__gt": ""}).distinct()
        stored.query.expects_mirror = True  # type: ignore[attr-defined]
        return list(stored[:MAX_CHOICES])
    found: list[str] = []
    while len(found) < MAX_CHOICES:
        following = rows.filter(**{f"{field}__gt": found[-1] if found else ""}).first()
        if following is None:
            break
        found.append(following)
    return found


def with_selected(selected: str | None, values: Sequence[str]) -> list[tuple[Any, str]]:
    """The choices of a filter: the values, and the selected one if it is not among them."""
    more = [] if selected is None or selected in values else [selected]
    return [(value, value) for value in (*values, *more)]


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
        }


class KnownValuesFilter(admin.SimpleListFilter):
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


class RoleFilter(admin.SimpleListFilter):
    """Filters by `metadata["role"]`."""

    title = _("role")
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return with_selected(self.value(), ROLES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(metadata__role=self.value()) if self.value() is not None else queryset


class ExpiringFilter(admin.SimpleListFilter):
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

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value() or ""
        if chosen == "never":
            return queryset.filter(expiration__isnull=True)
        if chosen in self.WITHIN:
            return queryset.filter(expiration__lte=timezone.now() + self.WITHIN[chosen])
        return queryset
