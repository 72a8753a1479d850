"""The base class of all stores.

Public methods validate their arguments and call the method of the same name with an underscore, which a store
implements. Returned objects are copies: changing them does not change stored data.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NoReturn

from asgiref.sync import sync_to_async

from ..exceptions import StorageError, ValidationError
from ..models import AgentData, MemoryItem, UserSession
from ..querysets import MemoryContext, context_of
from ..querysets.contexts import MOST_TOKENS, MOST_TURNS, RECALLED, TOKENS, TURNS
from ..text_index import MOST_RESULTS, Results, SearchOptions
from .changes import validated_changes
from .filters import VALID_NOW, Condition, ValidAt, checked_time, parse
from .persona import PersonaConfig
from .validation import (
    check_count,
    check_id,
    check_name,
    check_share,
    validated_ids,
    validated_query,
    validated_records,
    validated_vector,
)

MAX_TOP_K = 1_000
"""Firestore's limit: https://firebase.google.com/docs/firestore/vector-search#limitations"""
MAX_IDS = 1_000
"""Items that one call reads by their ids, and sessions that one call lists."""


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

    async def get_memory_items(self, item_ids: Iterable[str]) -> list[MemoryItem | None]:
        """The items with these ids (at most 1,000), in their order; None for one that does not exist or has expired."""
        self._require_ready()
        ids = validated_ids("item_ids", item_ids, MAX_IDS)
        found = await self._get_memory_items(list(dict.fromkeys(ids))) if ids else {}
        return [found.get(pk) for pk in ids]

    async def update_memory_item(
        self, item_id: str, changes: Mapping[str, object], merge_metadata: bool = False
    ) -> MemoryItem | None:
        """Change fields of an item at once and return it; None if it does not exist or has expired.

        `changes` has new values of `memory.stores.changes.CHANGEABLE`. With `merge_metadata` its `metadata` is merged
        into the stored map by RFC 7396 (JSON merge patch): maps at every level, and None removes a key.
        """
        self._require_ready()
        check_id("item_id", item_id)
        return await self._update_memory_item(item_id, validated_changes(changes, merge_metadata), merge_metadata)

    async def delete_memory_item(self, item_id: str) -> bool:
        """Delete an item; whether it existed and had not expired."""
        self._require_ready()
        check_id("item_id", item_id)
        return await self._delete_memory_item(item_id)

    async def forget(
        self, user_id: str, session_id: str | None = None, filters: Mapping[str, object] | None = None
    ) -> int:
        """Delete the user's items that match, expired ones too; return their number.

        `filters` are those of the history. Of a session without filters the session itself is deleted, too. Raises
        `ValidationError` without a session and filters: `delete_user()` deletes everything. Many items are deleted in
        several transactions.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        conditions = parse(filters)
        if session_id is None and not conditions:
            problem = "Pass a session or filters; delete_user() deletes all items of a user."
            raise ValidationError({"filters": problem})
        return await self._forget(user_id, session_id, conditions)

    async def list_sessions(
        self, user_id: str, limit: int = 20, before: UserSession | None = None
    ) -> list[UserSession]:
        """The user's `limit` (1 to 1,000) sessions with the newest activity, newest first.

        `before` is the last session of the page before: the list begins after it.
        """
        self._require_ready()
        check_name("user_id", user_id)
        check_count("limit", limit, MAX_IDS)
        if before is not None and not isinstance(before, UserSession):
            raise ValidationError({"before": "This must be a UserSession or None."})
        return await self._list_sessions(user_id, limit, before)

    async def delete_user(self, user_id: str) -> int:
        """Delete all that is stored of a user: items, sessions, search index, checkpoints; return the number of items.

        What others write meanwhile stays: call it again. Agent data has no user and stays. This is not the erasure of
        a person, with a tombstone and a receipt: that is `memory.lifecycle.erasure.erase()` or `memory_erase`.
        """
        self._require_ready()
        check_name("user_id", user_id)
        return await self._delete_user(user_id)

    async def get_conversation_history(
        self,
        user_id: str,
        session_id: str | None = None,
        limit: int = 20,
        filters: Mapping[str, object] | None = None,
        oldest_first: bool = False,
        as_of: datetime | None = None,
        superseded: bool = False,
    ) -> list[MemoryItem]:
        """The user's `limit` newest unexpired items, newest first, of one session or (None) of all.

        They are valid at `as_of` (None: now); with `superseded` all are returned, as they were said. With
        `oldest_first` the `limit` oldest items, oldest first: a conversation from its beginning. `filters` are lookups
        of `memory.stores.filters.FIELDS`, combined with AND.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("limit", limit)
        for name, flag in (("oldest_first", oldest_first), ("superseded", superseded)):
            if not isinstance(flag, bool):
                raise ValidationError({name: "This must be True or False."})
        if superseded and as_of is not None:
            raise ValidationError({"superseded": "Pass either this or as_of."})
        conditions = parse(filters)
        if as_of is not None:
            conditions = (*conditions, ValidAt(checked_time("as_of", as_of)))
        elif not superseded:
            conditions = (*conditions, VALID_NOW)
        if oldest_first:
            return await self._get_oldest_items(user_id, session_id, limit, conditions)
        return await self._get_conversation_history(user_id, session_id, limit, conditions)

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
        as_of: datetime | None = None,
        importance: float = 0.0,
        recency: float = 0.0,
        touch: bool = False,
        asker: str = "",
    ) -> Results:
        """Full-text and semantic search: the user's `limit` (1 to 100) best unexpired items, best first.

        Each item has a `score` from 0 to 1, `same`, the ids of other items with its text, and, with `explain`,
        `score_parts`. Items with a score below `min_score` are left out, and those whose metadata has a true `hidden`
        unless `hidden` is True. Items that are valid at `as_of` (None: now) come first, the others have a false
        `valid`. `importance` and `recency` (0 to 1) are weights in the order; `touch` notes the results as used, at
        most once a day each. `asker` is the speaker who says "I" in the query; empty: the user. `filters` are those of
        the history. `waiting` of the returned list is the number of items
        that wait for the search index and were not searched in full. Raises `ConnectionError` if a remote embedder is
        unavailable.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("limit", limit, MOST_RESULTS)
        for name, flag in (("explain", explain), ("hidden", hidden), ("touch", touch)):
            if not isinstance(flag, bool):
                raise ValidationError({name: "This must be True or False."})
        for name, share in (("min_score", min_score), ("importance", importance), ("recency", recency)):
            check_share(name, share)
        if not isinstance(asker, str):
            raise ValidationError({"asker": "This must be a string."})
        options = SearchOptions(
            limit,
            float(min_score),
            hidden,
            explain,
            asker,
            as_of=None if as_of is None else checked_time("as_of", as_of),
            importance=float(importance),
            recency=float(recency),
            touch=touch,
        )
        search = Search(validated_query("query", query), session_id, parse(filters), options)
        found = await self._search(user_id, search)
        return found if isinstance(found, Results) else Results(found)

    async def context(
        self,
        user_id: str,
        session_id: str | None,
        question: str,
        tokens: int = TOKENS,
        *,
        turns: int = TURNS,
        limit: int = RECALLED,
        min_score: float = 0.0,
    ) -> MemoryContext:
        """A context for a language model in at most `tokens` tokens: recent turns, and what answers `question`.

        The `turns` newest items of the session (None: of all sessions) and the `limit` (1 to 100) best results of a
        search of all sessions with at least `min_score`. docs/context.md has the rules.
        """
        self._require_ready()
        check_name("user_id", user_id)
        if session_id is not None:
            check_name("session_id", session_id)
        check_count("tokens", tokens, MOST_TOKENS)
        check_count("turns", turns, MOST_TURNS)
        check_count("limit", limit, MOST_RESULTS)
        check_share("min_score", min_score)
        query = validated_query("question", question)
        recent, found = await asyncio.gather(
            self._get_conversation_history(user_id, session_id, turns, (VALID_NOW,)),
            self._search(user_id, Search(query, None, (), SearchOptions(limit, float(min_score)))),
        )
        # Tokens are counted, and the host's model may be called, on another thread: the event loop goes on.
        return await sync_to_async(context_of, thread_sensitive=False)(recent, found, tokens)

    async def semantic_search(
        self,
        user_id: str,
        query_embedding: Sequence[float],
        persona_context: PersonaConfig | None = None,
        top_k: int = 5,
    ) -> list[MemoryItem]:
        """The user's `top_k` (1 to 1,000) items that are valid now by cosine distance, nearest first, with `distance`.

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

    # Not abstract: a project's own manager may be older than these methods.

    async def _get_memory_items(self, item_ids: list[str]) -> dict[str, MemoryItem]:
        found = [await self._get_memory_item(pk) for pk in item_ids]
        return {item.pk: item for item in found if item is not None}

    async def _get_oldest_items(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        self._refuse("get_conversation_history(oldest_first=True)")

    async def _update_memory_item(
        self, item_id: str, changes: dict[str, Any], merge_metadata: bool
    ) -> MemoryItem | None:
        self._refuse("update_memory_item()")

    async def _delete_memory_item(self, item_id: str) -> bool:
        self._refuse("delete_memory_item()")

    async def _forget(self, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]) -> int:
        self._refuse("forget()")

    async def _list_sessions(self, user_id: str, limit: int, before: UserSession | None) -> list[UserSession]:
        self._refuse("list_sessions()")

    async def _delete_user(self, user_id: str) -> int:
        self._refuse("delete_user()")

    def _refuse(self, method: str) -> NoReturn:
        raise StorageError(f"{type(self).__name__} does not implement {method}.")

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
