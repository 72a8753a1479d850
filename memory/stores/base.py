"""The base class of all stores.

Public methods validate their arguments and call the method of the same name with an underscore, which a store
implements. Returned objects are copies: changing them does not change stored data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..exceptions import StorageError, ValidationError
from ..models import AgentData, MemoryItem
from ..text_index import MOST_RESULTS, SearchOptions
from .filters import Condition, parse
from .persona import PersonaConfig
from .validation import (
    check_count,
    check_id,
    check_name,
    check_share,
    validated_query,
    validated_records,
    validated_vector,
)

MAX_TOP_K = 1_000
"""Firestore's limit: https://firebase.google.com/docs/firestore/vector-search#limitations"""


@dataclass(frozen=True)
class Search:
    """The validated arguments of a search."""

    query: str
    session_id: str | None
    conditions: tuple[Condition, ...]
    options: SearchOptions


class MemoryManager(ABC):
    """A store of memory items and agent data.

    All methods except for `initialize` and `close` are awaitable, and can be awaited concurrently. They raise
    `StorageError` (`ConnectionError` if the storage is unavailable) or `ValidationError` of `memory.exceptions`.
    """

    # Do items persist across processes and restarts?
    persistent: ClassVar[bool] = False

    _ready = False

    def initialize(self) -> None:
        """Open the store, also after `close()`. Idempotent. Raises `ConnectionError` if the storage is unavailable."""
        if not self._ready:
            self._open()
            self._ready = True

    def close(self) -> None:
        """Release threads and connections. Idempotent."""
        self._ready = False
        self._close()

    async def add_memory_item(self, item: MemoryItem) -> str:
        """Store a new item and return its id. Raises `StorageError` for an existing id."""
        return (await self.add_memory_items([item]))[0]

    async def add_memory_items(self, items: Iterable[MemoryItem]) -> list[str]:
        """Store new items, all or none; return their ids in the same order."""
        self._require_ready()
        records = validated_records(items, MemoryItem, "items")
        return await self._add_memory_items(records) if records else []

    async def get_memory_item(self, item_id: str) -> MemoryItem | None:
        """The item with this id, or None if it does not exist or has expired."""
        self._require_ready()
        check_id("item_id", item_id)
        return await self._get_memory_item(item_id)

    async def get_conversation_history(
        self,
        user_id: str,
        session_id: str | None = None,
        limit: int = 20,
        filters: Mapping[str, object] | None = None,
    ) -> list[MemoryItem]:
        """The user's `limit` newest unexpired items, newest first, of one session or (None) of all.

        `filters` are lookups of `memory.stores.filters.FIELDS`, combined with AND.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("limit", limit)
        return await self._get_conversation_history(user_id, session_id, limit, parse(filters))

    async def search(
        self,
        user_id: str,
        query: str,
        session_id: str | None = None,
        limit: int = 10,
        filters: Mapping[str, object] | None = None,
        explain: bool = False,
        min_score: float = 0.0,
        hidden: bool = False,
    ) -> list[MemoryItem]:
        """Full-text and semantic search: the user's `limit` (1 to 100) best unexpired items, best first.

        Each item has a `score` from 0 to 1, `same`, the ids of other items with its text, and, with `explain`,
        `score_parts`. Items with a score below `min_score` are left out, and those whose metadata has a true `hidden`
        unless `hidden` is True. `filters` are those of the history. Raises `ConnectionError` if a remote embedder is
        unavailable.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("limit", limit, MOST_RESULTS)
        for name, flag in (("explain", explain), ("hidden", hidden)):
            if not isinstance(flag, bool):
                raise ValidationError({name: "This must be True or False."})
        check_share("min_score", min_score)
        options = SearchOptions(limit, float(min_score), hidden, explain)
        search = Search(validated_query("query", query), session_id, parse(filters), options)
        return await self._search(user_id, search)

    async def semantic_search(
        self,
        user_id: str,
        query_embedding: Sequence[float],
        persona_context: PersonaConfig | None = None,
        top_k: int = 5,
    ) -> list[MemoryItem]:
        """The user's `top_k` (1 to 1,000) unexpired items by cosine distance, nearest first, with `distance`.

        With a persona, only items of that persona and items without one. Vectors of other dimensions are skipped.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if persona_context is not None and not isinstance(persona_context, PersonaConfig):
            raise ValidationError({"persona_context": "This must be a PersonaConfig or None."})
        check_count("top_k", top_k, MAX_TOP_K)
        vector = validated_vector("query_embedding", query_embedding)
        return await self._semantic_search(user_id, vector, persona_context, top_k)

    async def add_raw_agent_data(self, data: AgentData) -> str:
        """Store new agent data and return its id. Raises `StorageError` for an existing id."""
        return (await self.add_raw_agent_data_batch([data]))[0]

    async def add_raw_agent_data_batch(self, batch: Iterable[AgentData]) -> list[str]:
        """Store new agent data, all or none; return their ids in the same order."""
        self._require_ready()
        records = validated_records(batch, AgentData, "batch")
        return await self._add_agent_data(records) if records else []

    async def get_raw_agent_data(self, data_id: str) -> AgentData | None:
        """The agent data with this id, or None if it does not exist or has expired."""
        self._require_ready()
        check_id("data_id", data_id)
        return await self._get_agent_data(data_id)

    async def check_duplicate(self, item: MemoryItem) -> bool:
        """Whether another unexpired item has the same user, type and text. Items without text have no duplicates."""
        self._require_ready()
        validated_records([item], MemoryItem, "item")
        return await self._check_duplicate(item)

    async def cleanup_expired_items(self) -> int:
        """Delete expired items and agent data; return their number."""
        self._require_ready()
        return await self._cleanup_expired_items()

    async def health_check(self) -> dict[str, Any]:
        """The health: `status` (ok, degraded or unavailable), `components` ({name: bool}) and `details`.

        `details` has, by component, the `engine` if it differs from the component's name, and a `failure`.

        Never raises. A manager that is not initialized is unavailable.
        """
        if not self._ready:
            return {"status": "unavailable", "components": {}, "details": {"manager": {"failure": "not initialized"}}}
        return await self._health_check()

    def _require_ready(self) -> None:
        if not self._ready:
            raise StorageError(f"This {type(self).__name__} is not initialized or was closed. Call initialize() first.")

    def _open(self) -> None:  # noqa: B027  (optional)
        """Open the store's resources."""

    def _close(self) -> None:  # noqa: B027
        """Close the store's resources."""

    @abstractmethod
    async def _add_memory_items(self, items: list[MemoryItem]) -> list[str]: ...

    @abstractmethod
    async def _get_memory_item(self, item_id: str) -> MemoryItem | None: ...

    @abstractmethod
    async def _get_conversation_history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]: ...

    @abstractmethod
    async def _search(self, user_id: str, search: Search) -> list[MemoryItem]: ...

    @abstractmethod
    async def _semantic_search(
        self, user_id: str, vector: list[float], persona: PersonaConfig | None, top_k: int
    ) -> list[MemoryItem]: ...

    @abstractmethod
    async def _add_agent_data(self, batch: list[AgentData]) -> list[str]: ...

    @abstractmethod
    async def _get_agent_data(self, data_id: str) -> AgentData | None: ...

    @abstractmethod
    async def _check_duplicate(self, item: MemoryItem) -> bool: ...

    @abstractmethod
    async def _cleanup_expired_items(self) -> int: ...

    @abstractmethod
    async def _health_check(self) -> dict[str, Any]: ...
