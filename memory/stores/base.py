"""The contract of a memory: what every store does, checked once, here.

A public method checks its arguments and hands them to the method of the same name with an underscore, which a store
implements. What a store returns is the caller's own: to change it changes nothing that is stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..exceptions import StorageError, ValidationError
from ..models import AgentData, MemoryItem
from ..search.recall import MOST_RESULTS
from .filters import Condition, parse
from .persona import PersonaConfig
from .validation import check_count, check_id, check_name, checked_question, checked_records, checked_vector

MAX_TOP_K = 1_000
"""Firestore's limit: https://firebase.google.com/docs/firestore/vector-search#limitations"""


@dataclass(frozen=True)
class Search:
    """What is looked for in a user's memory, checked."""

    query: str
    session_id: str | None
    limit: int
    conditions: tuple[Condition, ...]
    explain: bool


class MemoryManager(ABC):
    """A memory of users' items and agents' data.

    Every method but `initialize` and `close` is awaitable, may be awaited concurrently, and raises `StorageError`
    (`ConnectionError` where storage is away) or `ValidationError`, both of `memory.exceptions`.
    """

    # Is an item found again by another process, or after a restart?
    persistent: ClassVar[bool] = False

    _ready = False

    def initialize(self) -> None:
        """Make ready for use, again after `close()`; harmless twice. Raises `ConnectionError` if storage is away."""
        if not self._ready:
            self._open()
            self._ready = True

    def close(self) -> None:
        """Let go of threads and connections; what was acknowledged stays. Harmless twice."""
        self._ready = False
        self._close()

    async def add_memory_item(self, item: MemoryItem) -> str:
        """Store a new item and return its id. An id that is taken is a `StorageError`."""
        return (await self.add_memory_items([item]))[0]

    async def add_memory_items(self, items: Iterable[MemoryItem]) -> list[str]:
        """Store new items, all or, where one of them is refused, none; return their ids in the same order."""
        self._require_ready()
        records = checked_records(items, MemoryItem, "items")
        return await self._add_memory_items(records) if records else []

    async def get_memory_item(self, item_id: str) -> MemoryItem | None:
        """The live item of this id, or None."""
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
        """A user's `limit` newest live items, newest first; of one session, or of all where `session_id` is None.

        `filters` are lookups of `memory.stores.filters.FIELDS`, all of which must hold.
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
    ) -> list[MemoryItem]:
        """The user's `limit` (1 to 100) live items that answer `query` best, by words and by meaning, best first.

        Each has its `score`, and `score_parts`, whose sum it is, where they are to be explained. `filters` are as for
        the history. A remote model that does not answer is a `ConnectionError`.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("limit", limit, MOST_RESULTS)
        if not isinstance(explain, bool):
            raise ValidationError({"explain": "This must be True or False."})
        asked = Search(checked_question("query", query), session_id, limit, parse(filters), explain)
        return await self._search(user_id, asked)

    async def semantic_search(
        self,
        user_id: str,
        query_embedding: Sequence[float],
        persona_context: PersonaConfig | None = None,
        top_k: int = 5,
    ) -> list[MemoryItem]:
        """The user's `top_k` (1 to 1,000) live items nearest to the vector by cosine, nearest first, with `distance`.

        With a persona, items of that persona and those of none. Vectors of another dimension are not compared.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if persona_context is not None and not isinstance(persona_context, PersonaConfig):
            raise ValidationError({"persona_context": "This must be a PersonaConfig or None."})
        check_count("top_k", top_k, MAX_TOP_K)
        vector = checked_vector("query_embedding", query_embedding)
        return await self._semantic_search(user_id, vector, persona_context, top_k)

    async def add_raw_agent_data(self, data: AgentData) -> str:
        """Store an agent's new data and return its id. An id that is taken is a `StorageError`."""
        return (await self.add_raw_agent_data_batch([data]))[0]

    async def add_raw_agent_data_batch(self, batch: Iterable[AgentData]) -> list[str]:
        """Store agents' new data, all or, where one is refused, none; return their ids in the same order."""
        self._require_ready()
        records = checked_records(batch, AgentData, "batch")
        return await self._add_agent_data(records) if records else []

    async def get_raw_agent_data(self, data_id: str) -> AgentData | None:
        """The live data of this id, or None."""
        self._require_ready()
        check_id("data_id", data_id)
        return await self._get_agent_data(data_id)

    async def check_duplicate(self, item: MemoryItem) -> bool:
        """Whether the user has another live item of the same type with the same text. No text is nobody's duplicate."""
        self._require_ready()
        checked_records([item], MemoryItem, "item")
        return await self._check_duplicate(item)

    async def cleanup_expired_items(self) -> int:
        """Delete every item and all agents' data whose time is up; return how many."""
        self._require_ready()
        return await self._cleanup_expired_items()

    async def health_check(self) -> dict[str, Any]:
        """How storage is: `status` (ok, degraded or unavailable), `components` ({name: bool}) and `details`.

        `details` has, by component, the `engine` where it is not the one that the name says, and a `failure`.

        Raises nothing; a manager that is not initialized is unavailable.
        """
        if not self._ready:
            return {"status": "unavailable", "components": {}, "details": {"manager": {"failure": "not initialized"}}}
        return await self._health_check()

    def _require_ready(self) -> None:
        if not self._ready:
            raise StorageError(f"This {type(self).__name__} is not initialized, or closed: call initialize() first.")

    def _open(self) -> None:  # noqa: B027  (not every store has something to open)
        """What `initialize()` does in this store."""

    def _close(self) -> None:  # noqa: B027
        """What `close()` does in this store."""

    @abstractmethod
    async def _add_memory_items(self, items: list[MemoryItem]) -> list[str]: ...

    @abstractmethod
    async def _get_memory_item(self, item_id: str) -> MemoryItem | None: ...

    @abstractmethod
    async def _get_conversation_history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]: ...

    @abstractmethod
    async def _search(self, user_id: str, asked: Search) -> list[MemoryItem]: ...

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
