"""PydanticAI: a conversation store. See docs/adapters/pydantic-ai.md."""

from .store import DjangoConversationStore

__all__ = ["DjangoConversationStore"]
