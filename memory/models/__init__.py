"""The stored models.

On Firestore a table is a collection and a primary key a document id. `Meta.indexes` are the composite indexes that the
queries of `querysets/` need, on every engine.
"""

from .audit import AppendOnlyError, AuditEntry
from .checkpoints import AgentCheckpoint, AgentPart, AgentWrites
from .data_keys import DataKey
from .erasures import ErasedIds, Erasure
from .idempotency import IdempotencyKey
from .ids import id_of_user
from .records import CACHED, AgentData, Document, MemoryItem, Record, UserSession, refuse_session
from .search import SearchIndex, SearchLabel, SearchSegment
from .versions import MemoryVersion

__all__ = [
    "CACHED",
    "AgentCheckpoint",
    "AgentData",
    "AgentPart",
    "AgentWrites",
    "AppendOnlyError",
    "AuditEntry",
    "DataKey",
    "Document",
    "ErasedIds",
    "Erasure",
    "IdempotencyKey",
    "MemoryItem",
    "MemoryVersion",
    "Record",
    "SearchIndex",
    "SearchLabel",
    "SearchSegment",
    "UserSession",
    "id_of_user",
    "refuse_session",
]
