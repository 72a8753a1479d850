"""CrewAI: a storage backend of its memory. See docs/adapters/crewai.md."""

from .storage import DjangoStorage

__all__ = ["DjangoStorage"]
