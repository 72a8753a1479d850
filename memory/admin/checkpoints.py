"""The admin of agents' checkpoints: a list by user and thread, and deletion of a thread's."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import AgentCheckpoint
from .display import name_cell, time_cell
from .filters import ThreadFilter, UserFilter
from .listed import ListedAdmin


class AgentCheckpointAdmin(ListedAdmin):
    """Checkpoints are written by their framework; here they are listed. `memory_purge --checkpoints` deletes old ones.

    Their bytes are not read.
    """

    list_display = ("time", "user", "thread", "namespace", "step", "source")
    list_filter = (UserFilter, ThreadFilter)
    ordering = ("-checkpoint_id",)
    fields = ("user_id", "thread_id", "namespace", "checkpoint_id", "parent_id", "run_id", "step", "source", "created")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentCheckpoint]:
        """Without the bytes."""
        return super().get_queryset(request).defer("data", "parts")

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
