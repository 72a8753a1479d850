"""The admin of agents' checkpoints: a list by user and thread, and deletion of a thread's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import AgentCheckpoint
from .change_lists import BoundedPaginator
from .display import EMPTY, name_cell, time_cell
from .filters import ThreadFilter, UserFilter

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AgentCheckpoint]
else:
    ModelAdmin = admin.ModelAdmin


class AgentCheckpointAdmin(ModelAdmin):
    """Checkpoints are written by their framework; here they are listed. `memory_purge --checkpoints` deletes old ones.

    Their bytes are not read.
    """

    list_display = ("time", "user", "thread", "namespace", "step", "source")
    list_filter = (UserFilter, ThreadFilter)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False
    empty_value_display = EMPTY
    ordering = ("-checkpoint_id",)
    paginator = BoundedPaginator
    fields = ("user_id", "thread_id", "namespace", "checkpoint_id", "parent_id", "run_id", "step", "source", "created")
    readonly_fields = fields

    class Media:
        css = {"all": ["memory/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentCheckpoint]:
        """Without the bytes."""
        return super().get_queryset(request).defer("data", "parts")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The framework writes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AgentCheckpoint | None = None) -> bool:
        """The framework writes them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AgentCheckpoint | None = None) -> bool:
        """One checkpoint cannot be deleted: later ones may be rebuilt from it."""
        return False

    @admin.display(description=_("time"))
    def time(self, obj: AgentCheckpoint) -> SafeString:
        """When it was written."""
        return time_cell(obj.created)

    @admin.display(description=_("user"))
    def user(self, obj: AgentCheckpoint) -> SafeString | None:
        """Whose thread it is."""
        return name_cell(obj.user_id)

    @admin.display(description=_("thread"))
    def thread(self, obj: AgentCheckpoint) -> SafeString | None:
        """The thread."""
        return name_cell(obj.thread_id)
