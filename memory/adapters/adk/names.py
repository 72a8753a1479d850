"""Apps and sessions of ADK as session ids: pure functions.

The id of the session `trip` of the app `guide` is `adk/guide/trip/`; `adk/guide/` is the row of the user's state there.
What `guide` added to the user's memory from that session is in `adk-memory/guide/trip/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from memory.adapters.paths import digest, labels_of, path_of

SESSIONS = "adk/"
MEMORIES = "adk-memory/"


@dataclass(frozen=True)
class App:
    """An app of one user."""

    name: str
    user_id: str

    @property
    def sessions(self) -> str:
        """The id of the row of the user's state, with which the ids of all sessions start."""
        return path_of(SESSIONS, [self.name])

    @property
    def memories(self) -> str:
        """With which the session ids of all memories start."""
        return path_of(MEMORIES, [self.name])

    def session(self, session_id: str) -> str:
        """The id of a session."""
        return path_of(SESSIONS, [self.name, session_id])

    def memory(self, session_id: str) -> str:
        """The session id of what was added to the memory from a session."""
        return path_of(MEMORIES, [self.name, session_id])


def session_of(path: str) -> str | None:
    """The session's own id; None for the row of the user's state."""
    _, *rest = labels_of(SESSIONS, path)
    return rest[0] if len(rest) == 1 else None


def state_id(app_name: str) -> str:
    """The id of the row of an app's state."""
    return digest("adk", app_name)
