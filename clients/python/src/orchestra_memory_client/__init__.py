"""A typed client of the orchestra-memory service.

from orchestra_memory_client import Client

with Client("http://localhost:8000", token="mem_...") as memory:
    memory.items.create({"item_type": "message", "text_content": "I prefer trains."})
"""

from ._calls import Retries
from ._client import AsyncBulkRecords, AsyncClient, AsyncRecords, BulkRecords, Client, Records
from ._errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    KeyReused,
    MemoryClientError,
    NotAuthenticated,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    RateLimited,
    ServerError,
    Unavailable,
)
from ._types import (
    AgentData,
    AgentDataChanges,
    Answered,
    Context,
    ContextItem,
    Created,
    Deleted,
    Duplicate,
    FoundItem,
    Item,
    ItemChanges,
    NewAgentData,
    NewItem,
    NewSession,
    Session,
    SessionChanges,
    Stored,
    Upserted,
)

__all__ = [
    "AgentData",
    "AgentDataChanges",
    "Answered",
    "ApiError",
    "AsyncBulkRecords",
    "AsyncClient",
    "AsyncRecords",
    "BulkRecords",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "ContextItem",
    "Created",
    "Deleted",
    "Duplicate",
    "Forbidden",
    "FoundItem",
    "InvalidRequest",
    "Item",
    "ItemChanges",
    "KeyReused",
    "MemoryClientError",
    "NewAgentData",
    "NewItem",
    "NewSession",
    "NotAuthenticated",
    "NotFound",
    "OutcomeUnknown",
    "PreconditionFailed",
    "RateLimited",
    "Records",
    "Retries",
    "ServerError",
    "Session",
    "SessionChanges",
    "Stored",
    "Unavailable",
    "Upserted",
]
