"""Google's Agent Development Kit: a session service and a memory service. See docs/adapters/adk.md."""

from .memories import DjangoMemoryService
from .sessions import DjangoSessionService

__all__ = ["DjangoMemoryService", "DjangoSessionService"]
