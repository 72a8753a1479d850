"""The vocabulary of the records, sync and async, exposed as the models' managers.

`objects` leaves out what has expired; `all_objects` does not, and is what the purge and Django's own saving use. Every
write path (save, `bulk_create`, `bulk_update`, `update`) holds the limits of `limits.py`.
"""

from .agent_data import AgentDataQuerySet
from .items import MemoryItemQuerySet
from .records import LiveManager, RecordQuerySet
from .sessions import UserSessionQuerySet

__all__ = ["AgentDataQuerySet", "LiveManager", "MemoryItemQuerySet", "RecordQuerySet", "UserSessionQuerySet"]
