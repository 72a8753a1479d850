"""Serializers of the API by what they are about."""

from .base import RecordSerializer
from .bulk import (
    AgentDataBulkSerializer,
    AgentDataManyReadSerializer,
    AgentDataUpsertSerializer,
    CreatedSerializer,
    DeletedSerializer,
    IdsSerializer,
    MemoryItemBulkSerializer,
    MemoryItemsReadSerializer,
    MemoryItemUpsertSerializer,
    UpsertedSerializer,
)
from .errors import ErrorSerializer
from .people import ErasureQuerySerializer, ErasureSerializer
from .records import (
    VALIDITY,
    AgentDataReplacement,
    AgentDataSerializer,
    MemoryItemReplacement,
    MemoryItemSerializer,
    UserSessionReplacement,
    UserSessionSerializer,
)
from .searches import (
    AnswersSerializer,
    ContextQuerySerializer,
    ContextSerializer,
    DuplicateQuerySerializer,
    DuplicateSerializer,
    FoundItemSerializer,
    FoundSerializer,
    QuestionsSerializer,
)

__all__ = [
    "VALIDITY",
    "AgentDataBulkSerializer",
    "AgentDataManyReadSerializer",
    "AgentDataReplacement",
    "AgentDataSerializer",
    "AgentDataUpsertSerializer",
    "AnswersSerializer",
    "ContextQuerySerializer",
    "ContextSerializer",
    "CreatedSerializer",
    "DeletedSerializer",
    "DuplicateQuerySerializer",
    "DuplicateSerializer",
    "ErasureQuerySerializer",
    "ErasureSerializer",
    "ErrorSerializer",
    "FoundItemSerializer",
    "FoundSerializer",
    "IdsSerializer",
    "MemoryItemBulkSerializer",
    "MemoryItemReplacement",
    "MemoryItemSerializer",
    "MemoryItemUpsertSerializer",
    "MemoryItemsReadSerializer",
    "QuestionsSerializer",
    "RecordSerializer",
    "UpsertedSerializer",
    "UserSessionReplacement",
    "UserSessionSerializer",
]
