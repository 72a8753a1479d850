"""What holds the data of people: every model of the project, and how its rows of one person are found.

A test holds the table against the installed models, so a new model must be listed here. What is not in a table of the
database, such as keys of caches, is listed in docs/lifecycle.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class How(Enum):
    """How the rows of a person are found."""

    OWNED = "a field has the person's id"
    NAMED = "all rows are read, and those that name the person or an erased record are deleted"
    KEPT = "rows stay, for a reason"
    NONE = "holds no data of people"


@dataclass(frozen=True)
class Holding:
    """A model, by its label. `fields` are the one with the person's id (`OWNED`), or those that are read (`NAMED`).

    `reason` says why rows stay, or what a `NAMED` row may hold.
    """

    label: str
    how: How
    fields: tuple[str, ...] = ()
    reason: str = ""


def owned(label: str, field: str = "user_id") -> Holding:
    """A model whose field has the person's id."""
    return Holding(label, How.OWNED, (field,))


def named(label: str, *fields: str, reason: str) -> Holding:
    """A model whose rows may name a person."""
    return Holding(label, How.NAMED, fields, reason)


def kept(label: str, reason: str) -> Holding:
    """A model whose rows stay."""
    return Holding(label, How.KEPT, reason=reason)


def none(label: str) -> Holding:
    """A model without data of people."""
    return Holding(label, How.NONE)


ACCOUNT: Final = "belongs to the account, which the project deletes"

HOLDINGS: Final[tuple[Holding, ...]] = (
    # In the order of deletion: items first, since other rows are derived from them.
    owned("memory.MemoryItem"),
    owned("memory.UserSession"),
    owned("memory.AgentData", "agent_id"),
    owned("memory.AgentCheckpoint"),
    owned("memory.AgentWrites"),
    owned("memory.AgentPart"),
    owned("memory.SearchLabel"),
    owned("memory.SearchIndex"),
    owned("memory.SearchSegment"),
    owned("memory.MemoryVersion"),
    owned("memory_access.AccessToken", "owner"),
    owned("memory.DataKey"),  # last: then what the key encrypted cannot be read anywhere
    named("memory.AgentData", "content", "metadata", reason="data of other agents that has the person's id as a value"),
    named("memory.IdempotencyKey", "answer", reason="ids in answers of the last 24 hours"),
    named("admin.LogEntry", "object_id", "object_repr", "change_message", reason="names and texts of changed records"),
    named("django_tasks_database.DBTaskResult", "task_path", "args_kwargs", reason="ids in queued and finished tasks"),
    kept("memory.Erasure", "a digest of the person's id, as a tombstone"),
    kept("memory.ErasedIds", "digests of erased ids, for the receipt"),
    kept("memory.AuditEntry", "who did what; ids are digests unless MEMORY['AUDIT'] says otherwise"),
    kept("memory_access.Owner", "reserves the id of an account for ever, so that nobody else gets it"),
    kept("auth.User", ACCOUNT),
    kept("sessions.Session", ACCOUNT),
    none("auth.Group"),
    none("auth.Permission"),
    none("contenttypes.ContentType"),
)


def holdings(*hows: How) -> Iterator[Holding]:
    """The holdings of these kinds, in the order of deletion."""
    return (one for one in HOLDINGS if one.how in hows)
