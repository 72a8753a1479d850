"""The admin of the audit trail: a list, which nobody can change."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..lifecycle import audit
from ..models import AuditEntry
from .display import name_cell, time_cell
from .filters import DateRangeFilter, ExactFilter
from .listed import ListedAdmin


class ChosenFilter(admin.SimpleListFilter):
    """Filters by one of the values that the trail writes."""

    field: ClassVar[str]
    values: ClassVar[tuple[str, ...]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(value, value) for value in self.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(**{self.field: self.value()})


class ActionFilter(ChosenFilter):
    """Filters by what was done."""

    title = _("action")
    parameter_name = field = "action"
    values = (audit.READ, audit.WRITE, audit.EXPORT, audit.ERASE)


class ChannelFilter(ChosenFilter):
    """Filters by where it was done."""

    title = _("channel")
    parameter_name = field = "channel"
    values = (audit.API, audit.ADMIN, audit.MCP, audit.COMMAND, audit.PYTHON)


class PrincipalFilter(ExactFilter):
    """Filters by who did it: a user name, which the trail may have as a digest."""

    title = _("who")
    parameter_name = field = "principal"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (name := self.value()):
            return queryset
        return queryset.filter(principal__in=[name, *audit.digests_of(name)])


class AuditEntryAdmin(ListedAdmin):
    """Entries are written by the trail and deleted by `memory_purge`; here they are read."""

    list_display = ("time", "channel", "action", "who", "operation", "count", "outcome")
    list_filter = (ActionFilter, ChannelFilter, PrincipalFilter, ("at", DateRangeFilter))
    ordering = ("-at",)
    actions = None
    fields = ("at", "channel", "action", "principal", "operation", "model", "ids", "count", "outcome", "request_id")
    readonly_fields = fields

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """`memory_purge` deletes them by policy."""
        return False

    @admin.display(description=_("time"))
    def time(self, obj: AuditEntry) -> SafeString:
        """When it was done."""
        return time_cell(obj.at)

    @admin.display(description=_("who"))
    def who(self, obj: AuditEntry) -> SafeString | None:
        """The principal, or its digest."""
        return name_cell(obj.principal)
