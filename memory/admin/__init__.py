"""Django admin of the records: change lists, formatted records, conversations, export actions."""

from django.contrib import admin

from ..models import AgentCheckpoint, AgentData, AuditEntry, MemoryItem, SearchLabel, UserSession
from .agent_data import AgentDataAdmin
from .audit import AuditEntryAdmin
from .checkpoints import AgentCheckpointAdmin
from .items import MemoryItemAdmin
from .labels import SearchLabelAdmin
from .sessions import UserSessionAdmin

__all__ = [
    "AgentCheckpointAdmin",
    "AgentDataAdmin",
    "AuditEntryAdmin",
    "MemoryItemAdmin",
    "SearchLabelAdmin",
    "UserSessionAdmin",
]

admin.site.register(MemoryItem, MemoryItemAdmin)
admin.site.register(AgentData, AgentDataAdmin)
admin.site.register(UserSession, UserSessionAdmin)
admin.site.register(SearchLabel, SearchLabelAdmin)
admin.site.register(AgentCheckpoint, AgentCheckpointAdmin)
admin.site.register(AuditEntry, AuditEntryAdmin)
