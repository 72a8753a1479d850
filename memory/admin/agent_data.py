"""The admin of agent data."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import AgentData
from .base import RecordAdmin
from .display import json_block, name_cell, text_line
from .filters import AgentFilter, DataTypeFilter, DateRangeFilter, ExpiringFilter


class AgentDataAdmin(RecordAdmin):
    """Agent data, filtered by agent, type and time."""

    list_display = ("time", "agent", "type", "content_start")
    list_display_links = ("time", "content_start")
    list_filter = (AgentFilter, DataTypeFilter, ("timestamp", DateRangeFilter), ExpiringFilter)
    date_hierarchy = "timestamp"
    ordering = ("-timestamp", "-id")
    search_fields = ("agent_id", "data_type")
    search_help_text = _("Searches agents and types. All words must match.")
    add_only_fields = ("id", "agent_id")
    formatted_fields = {"metadata": "metadata_formatted", "content": "content_formatted"}
    fieldsets = (
        (None, {"fields": ("agent_id", "data_type", "timestamp")}),
        (_("Content"), {"fields": ("content", "metadata")}),
        (_("Expiration"), {"fields": ("expiration",)}),
        (_("Technical"), {"fields": ("id",), "classes": ("collapse",)}),
    )

    @admin.display(description=_("agent"), ordering="agent_id")
    def agent(self, obj: AgentData) -> SafeString | None:
        """The start of the agent's id."""
        return name_cell(obj.agent_id)

    @admin.display(description=_("type"), ordering="data_type")
    def type(self, obj: AgentData) -> SafeString | None:
        """The start of the type."""
        return name_cell(obj.data_type)

    @admin.display(description=_("content"))
    def content_start(self, obj: AgentData) -> SafeString | None:
        """The start of the content."""
        return None if obj.content is None else text_line(json.dumps(obj.content, ensure_ascii=False))

    @admin.display(description=_("content"))
    def content_formatted(self, obj: AgentData) -> str:
        """The content as formatted JSON."""
        return json_block(obj.content)
