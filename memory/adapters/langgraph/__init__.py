"""LangGraph: a store of long-term memory and a checkpointer. See docs/adapters/langgraph.md."""

from .saver import DjangoSaver
from .store import DjangoStore

__all__ = ["DjangoSaver", "DjangoStore"]
