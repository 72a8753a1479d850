"""The lists' filters. What they ask is within what Firestore answers by itself: equality, ranges, order and limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

MOST_CHOICES = 25
ROLES = ("user", "assistant", "system", "tool")


def values_of(model: type[Model], field: str) -> list[str]:
    """The first `MOST_CHOICES` values of a field in order, each found by one query for the first row above the last.

    Firestore has no DISTINCT, and bills one read for each of these.
    """
    rows = model._base_manager.order_by(field).values_list(field, flat=True)
    found: list[str] = []
    while len(found) < MOST_CHOICES:
        following = rows.filter(**{f"{field}__gt": found[-1] if found else ""}).first()
        if following is None:
            break
        found.append(following)
    return found


def choices_with(chosen: str | None, values: Sequence[str]) -> list[tuple[Any, str]]:
    """A filter's choices: the values, and the chosen one where it is none of them."""
    more = [] if chosen is None or chosen in values else [chosen]
    return [(value, value) for value in (*values, *more)]


class ExactFilter(admin.SimpleListFilter):
    """One value, typed in. For fields with more values than a list could show."""

    template = "admin/memory/exact_filter.html"
    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """What the template needs: the value, the other parameters to keep, and the way back to all."""
        others = {name: value for name, value in changelist.params.items() if name != self.parameter_name}
        yield {
            "value": self.value() or "",
            "others": others,
            "query_string": changelist.get_query_string(remove=[str(self.parameter_name)]),
        }


class KnownValuesFilter(admin.SimpleListFilter):
    """One of the values that the records have."""

    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return choices_with(self.value(), values_of(model_admin.model, self.field))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() is not None else queryset


class UserFilter(ExactFilter):
    """Records of one user."""

    title = _("user")
    parameter_name = field = "user_id"


class SessionFilter(ExactFilter):
    """Items of one session."""

    title = _("session")
    parameter_name = field = "session_id"


class AgentFilter(ExactFilter):
    """Data of one agent."""

    title = _("agent")
    parameter_name = field = "agent_id"


class ItemTypeFilter(KnownValuesFilter):
    """Items of one type."""

    title = _("type")
    parameter_name = field = "item_type"


class PersonaFilter(KnownValuesFilter):
    """Items of one persona."""

    title = _("persona")
    parameter_name = field = "persona_active"


class DataTypeFilter(KnownValuesFilter):
    """Data of one type."""

    title = _("type")
    parameter_name = field = "data_type"


class RoleFilter(admin.SimpleListFilter):
    """Items by who speaks, from `metadata["role"]`."""

    title = _("role")
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return choices_with(self.value(), ROLES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(metadata__role=self.value()) if self.value() is not None else queryset


class ExpiringFilter(admin.SimpleListFilter):
    """Records by how soon they expire."""

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
