"""The records and bodies of the API, as `/api/schema/` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, NotRequired, TypeAlias, TypedDict, TypeVar

Json: TypeAlias = Any
"""A value of JSON."""


class Item(TypedDict):
    """A memory item. Times are RFC 3339 in UTC."""

    id: str
    user_id: str
    session_id: str | None
    timestamp: str
    item_type: str
    persona_active: str | None
    text_content: str | None
    embedding: list[float] | None
    metadata: dict[str, Json]
    expiration: str | None
    importance: float | None
    source: str | None
    derived_from: list[str]
    valid_from: str | None
    valid_to: str | None
    supersedes: list[str]
    superseded_by: str | None


class NewItem(TypedDict):
    """A memory item to create."""

    item_type: str
    id: NotRequired[str]
    user_id: NotRequired[str]
    session_id: NotRequired[str | None]
    timestamp: NotRequired[str]
    persona_active: NotRequired[str | None]
    text_content: NotRequired[str | None]
    embedding: NotRequired[list[float] | None]
    metadata: NotRequired[dict[str, Json]]
    expiration: NotRequired[str | None]
    importance: NotRequired[float | None]
    source: NotRequired[str | None]
    derived_from: NotRequired[list[str]]
    valid_from: NotRequired[str | None]
    valid_to: NotRequired[str | None]
    supersedes: NotRequired[list[str]]


class ItemChanges(TypedDict, total=False):
    """Fields of a memory item to change."""

    user_id: str
    session_id: str | None
    timestamp: str
    item_type: str
    persona_active: str | None
    text_content: str | None
    embedding: list[float] | None
    metadata: dict[str, Json]
    expiration: str | None
    importance: float | None
    source: str | None
    derived_from: list[str]
    valid_from: str | None
    valid_to: str | None
    supersedes: list[str]


class AgentData(TypedDict):
    """Data that an agent produced."""

    id: str
    agent_id: str
    timestamp: str
    data_type: str
    content: Json
    metadata: dict[str, Json]
    expiration: str | None


class NewAgentData(TypedDict):
    """Agent data to create."""

    data_type: str
    id: NotRequired[str]
    agent_id: NotRequired[str]
    timestamp: NotRequired[str]
    content: NotRequired[Json]
    metadata: NotRequired[dict[str, Json]]
    expiration: NotRequired[str | None]


class AgentDataChanges(TypedDict, total=False):
    """Fields of agent data to change."""

    agent_id: str
    timestamp: str
    data_type: str
    content: Json
    metadata: dict[str, Json]
    expiration: str | None


class Session(TypedDict):
    """A conversation."""

    id: str
    user_id: str
    session_id: str
    started_at: str
    last_activity: str
    metadata: dict[str, Json]


class NewSession(TypedDict):
    """A conversation to create."""

    session_id: str
    id: NotRequired[str]
    user_id: NotRequired[str]
    started_at: NotRequired[str]
    last_activity: NotRequired[str]
    metadata: NotRequired[dict[str, Json]]


class SessionChanges(TypedDict, total=False):
    """Fields of a conversation to change."""

    started_at: str
    last_activity: str
    metadata: dict[str, Json]


class FoundItem(TypedDict):
    """A result of a search: a memory item without its vector, with its score from 0 to 1."""

    id: str
    user_id: str
    session_id: str | None
    timestamp: str
    item_type: str
    persona_active: str | None
    text_content: str | None
    metadata: dict[str, Json]
    expiration: str | None
    importance: float | None
    source: str | None
    derived_from: list[str]
    valid_from: str | None
    valid_to: str | None
    supersedes: list[str]
    superseded_by: str | None
    valid: bool
    score: float
    count: int
    parts: dict[str, float] | None


class Answered(TypedDict):
    """The results of one of several questions."""

    q: str
    results: list[FoundItem]
    nothing_found: bool
    waiting: int


class ContextItem(TypedDict):
    """An item of a context: a memory item without its vector."""

    id: str
    user_id: str
    session_id: str | None
    timestamp: str
    item_type: str
    persona_active: str | None
    text_content: str | None
    metadata: dict[str, Json]
    expiration: str | None
    importance: float | None
    source: str | None
    derived_from: list[str]
    valid_from: str | None
    valid_to: str | None
    supersedes: list[str]
    superseded_by: str | None


class Context(TypedDict):
    """A context for a language model: `text` has at most as many tokens as were asked for."""

    text: str
    tokens: int
    recent: list[ContextItem]
    recalled: list[ContextItem]
    summary: str
    cut: int
    is_truncated: bool


class SearchOptions(TypedDict, total=False):
    """How to search, beside the questions. Times are RFC 3339."""

    user_id: str | None
    limit: int
    min_score: float
    session_id: str | None
    item_type: str | None
    persona_active: str | None
    since: str | None
    until: str | None
    metadata_key: str | None
    metadata_value: str | float | bool | None
    as_of: str | None
    asker: str | None
    importance: float
    recency: float
    hidden: bool
    touch: bool
    explain: bool


class ContextOptions(TypedDict, total=False):
    """How to make a context, beside the question and its session."""

    user_id: str | None
    tokens: int
    turns: int
    limit: int
    min_score: float


class Duplicate(TypedDict):
    """Whether an equal item exists, and its id."""

    duplicate: bool
    id: str | None


class Created(TypedDict):
    """The result of creating many records."""

    created: int
    ids: list[str]


class UpsertResult(TypedDict):
    """What happened to one record."""

    id: str
    status: Literal["created", "updated"]


class Upserted(TypedDict):
    """The result of creating and replacing many records."""

    created: int
    updated: int
    results: list[UpsertResult]


class DeletionResult(TypedDict):
    """What happened to one record."""

    id: str
    status: Literal["deleted", "not_found"]


class Deleted(TypedDict):
    """The result of deleting many records."""

    deleted: int
    results: list[DeletionResult]


class ErasureCost(TypedDict):
    """What an erasure costs, by what is stored now. `price` is in US dollars on Firestore."""

    owned: dict[str, int]
    looked_through: dict[str, int]
    reads: int
    writes: int
    deletes: int
    price: float


class Erasure(TypedDict):
    """How far the erasure of a person is. `receipt` is there once it is finished: keep it."""

    user_id: str
    state: Literal["none", "more", "waiting", "finished"]
    erased: dict[str, int]
    go_on_at: str | None
    refused_until: str | None
    receipt: dict[str, Json] | None
    cost: ErasureCost


@dataclass(frozen=True)
class Exported:
    """A record of a person, and its collection: `sessions`, `items` or `agent_data`."""

    collection: str
    record: Any


RecordT = TypeVar("RecordT")
NewT = TypeVar("NewT")
ChangesT = TypeVar("ChangesT")


@dataclass(frozen=True)
class Stored(Generic[RecordT]):
    """A stored record and its tag, for `if_match`. The tag is None if the service sent none."""

    record: RecordT
    etag: str | None
    replayed: bool = False
    """Whether the answer is that of an earlier, equal request."""
