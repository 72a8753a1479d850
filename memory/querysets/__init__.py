"""The querysets of the models, sync and async, which are also their managers.

`objects` excludes expired records. `all_objects` includes them; the purge and Django's own saving use it. Every write
path (`save`, `bulk_create`, `bulk_update`, `update`) checks the limits of `limits.py`.
"""

from .agent_data import AgentDataQuerySet
from .contexts import ContextOptions, MemoryContext, context_of
from .items import MemoryItemQuerySet
from .records import LiveManager, RecordQuerySet
from .sessions import UserSessionQuerySet

__all__ = [
    "AgentDataQuerySet",
    "ContextOptions",
    "LiveManager",
    "MemoryContext",
    "MemoryItemQuerySet",
    "RecordQuerySet",
    "UserSessionQuerySet",
    "context_of",
]
