"""Conversations read through the cache: `recent()`, `session()`.

    from memory import history

    history.recent("ada", "chat-1", 20)     # the newest 20 items, newest first
    history.session("ada", "chat-1")        # the session's row, or None

A read uses the cache; on a miss it uses the database, and fills the cache if no writer came between. Inside a
transaction it uses the database, which alone knows what the transaction sees. Writes are in `memory.coherence`.
"""

from ..coherence import conversation_of
from .reading import arecent, asession, cache_of, recent, session, session_by_id, verify

__all__ = ["arecent", "asession", "cache_of", "conversation_of", "recent", "session", "session_by_id", "verify"]
