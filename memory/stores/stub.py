"""An in-memory store without a database, for tests and experiments."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

from django.utils import timezone

from ..batches import activities
from ..distances import FUNCTIONS, CosineDistance
from ..exceptions import StorageError, ValidationError, storage_errors
from ..models import AgentData, MemoryItem, UserSession
from ..querysets.validity import close
from . import changes as item_changes
from .base import MemoryManager, Search
from .filters import Condition
from .persona import PersonaConfig

RecordT = TypeVar("RecordT", MemoryItem, AgentData)


class MemoryManagerStub(MemoryManager):
    """A thread-safe in-memory store with the behaviour of the database stores."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._items: dict[str, MemoryItem] = {}
        self._agent_data: dict[str, AgentData] = {}
        self._sessions: dict[str, UserSession] = {}

    def clear(self) -> None:
        """Delete all records, for example between tests."""
        with self._lock:
            self._items.clear()
            self._agent_data.clear()
            self._sessions.clear()

    async def _add_memory_items(self, items: list[MemoryItem]) -> list[str]:
        for item in items:
            item.renew_derived_fields()
        with self._lock:
            superseded = [(old, item) for item in items for old in self._superseded(item, items)]
            ids = self._add(self._items, items)
            for old, item in superseded:
                close(self._items[old], item)
            self._touch(items)
        return ids

    def _superseded(self, item: MemoryItem, batch: list[MemoryItem]) -> list[str]:
        """The items that a new one supersedes. Raises `ValidationError` as the databases do."""
        known = {**self._items, **{item.pk: item for item in batch}}
        for pk in item.supersedes:
            old = known.get(pk)
            if old is None or old.user_id != item.user_id or item.pk in old.supersedes:
                raise ValidationError({"supersedes": f"{pk} cannot be superseded by this item."})
        return list(item.supersedes)

    def _reopen(self, pk: str, successor: str) -> None:
        """An item that is no longer superseded by another is valid again."""
        old = self._items.get(pk)
        if old is not None and old.superseded_by == successor:
            old.superseded_by = old.valid_to = None

    async def _add_agent_data(self, batch: list[AgentData]) -> list[str]:
        return self._add(self._agent_data, batch)

    def _add(self, stored: dict[str, RecordT], records: list[RecordT]) -> list[str]:
        ids = [record.pk for record in records]
        with self._lock:
            if len(set(ids)) < len(ids) or not stored.keys().isdisjoint(ids):
                raise StorageError("Storing records failed: a record with this id already exists; use another id.")
            stored.update((record.pk, _stored(record)) for record in records)
        return ids

    async def _get_memory_item(self, item_id: str) -> MemoryItem | None:
        return self._get(self._items, item_id)

    async def _get_agent_data(self, data_id: str) -> AgentData | None:
        return self._get(self._agent_data, data_id)

    def _get(self, stored: dict[str, RecordT], pk: str) -> RecordT | None:
        with self._lock:
            found = stored.get(pk)
            return copy.deepcopy(found) if found is not None and _is_live(found) else None

    async def _get_memory_items(self, item_ids: list[str]) -> dict[str, MemoryItem]:
        found = ((pk, self._get(self._items, pk)) for pk in item_ids)
        return {pk: item for pk, item in found if item is not None}

    async def _update_memory_item(
        self, item_id: str, changes: dict[str, Any], merge_metadata: bool
    ) -> MemoryItem | None:
        with self._lock:
            item = self._get(self._items, item_id)
            if item is None:
                return None
            before = item.supersedes
            item_changes.apply(item, changes, merge_metadata)
            item.check_limits()
            superseded = self._superseded(item, [item]) if item.supersedes != before else []
            self._items[item_id] = _stored(item)
            for old in set(before) - set(superseded) if item.supersedes != before else ():
                self._reopen(old, item_id)
            for old in superseded:
                close(self._items[old], item)
            self._touch([item])
            return self._get(self._items, item_id)

    async def _delete_memory_item(self, item_id: str) -> bool:
        with self._lock:
            item = self._get(self._items, item_id)
            return item is not None and self._remove([item]) > 0

    async def _forget(self, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]) -> int:
        with self._lock:
            deleted = self._remove(_matching(self._of_user(user_id), session_id, conditions))
            if session_id is not None and not conditions:
                self._sessions.pop(UserSession.make_id(user_id, session_id), None)
            return deleted

    async def _list_sessions(self, user_id: str, limit: int, before: UserSession | None) -> list[UserSession]:
        with self._lock:
            found = [row for row in self._sessions.values() if row.user_id == user_id]
            if before is not None:
                found = [row for row in found if _activity(row) < _activity(before)]
            return copy.deepcopy(sorted(found, key=_activity, reverse=True)[:limit])

    async def _delete_user(self, user_id: str) -> int:
        with self._lock:
            deleted = self._remove(self._of_user(user_id))
            self._sessions = {pk: row for pk, row in self._sessions.items() if row.user_id != user_id}
            return deleted

    def _touch(self, items: Iterable[MemoryItem]) -> None:
        """Create the sessions of items, or widen their times, as a database does."""
        for activity in chain.from_iterable(item.activities() for item in items):
            pk = UserSession.make_id(activity.user_id, activity.session_id)
            names = {"id": pk, "user_id": activity.user_id, "session_id": activity.session_id}
            new = UserSession(**names, started_at=activity.first, last_activity=activity.last)
            row = self._sessions.setdefault(pk, new)
            row.started_at = min(row.started_at, activity.first)
            row.last_activity = max(row.last_activity, activity.last)

    def _remove(self, items: Iterable[MemoryItem]) -> int:
        """Delete items, and narrow the times of their sessions, as a database does."""
        gone = list(items)
        for item in gone:
            del self._items[item.pk]
        for activity in activities((item.user_id, item.session_id, item.timestamp) for item in gone):
            row = self._sessions[UserSession.make_id(activity.user_id, activity.session_id)]
            times = [item.timestamp for item in _matching(self._of_user(activity.user_id), activity.session_id, ())]
            if times and (activity.first <= row.started_at or activity.last >= row.last_activity):
                row.started_at, row.last_activity = min(times), max(times)
        return len(gone)

    async def _get_oldest_items(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        with self._lock:
            return copy.deepcopy(_newest_first(self._matching(user_id, session_id, conditions))[::-1][:limit])

    async def _get_conversation_history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        with self._lock:
            return copy.deepcopy(_newest_first(self._matching(user_id, session_id, conditions))[:limit])

    async def _search(self, user_id: str, search: Search) -> list[MemoryItem]:
        with self._lock:
            items = copy.deepcopy(self._live_items(user_id))
            found = {item.pk for item in self._matching(user_id, search.session_id, search.conditions)}
        with storage_errors("Searching a memory"):
            from ..search.recall import search_items  # slow to import, and needs an extra

            results = search_items(items, found, search.query, search.options)
        if search.options.touch:
            with self._lock:
                for item in results:
                    self._items[item.pk].touched = timezone.now()
        return results

    async def _semantic_search(
        self, user_id: str, vector: list[float], persona: PersonaConfig | None, top_k: int
    ) -> list[MemoryItem]:
        names = None if persona is None else (persona.name, None)
        with self._lock:
            valid = [item for item in self._live_items(user_id) if item.is_valid()]
            items = [item for item in valid if names is None or item.persona_active in names]
            return list(_nearest(items, vector))[:top_k]

    async def _check_duplicate(self, item: MemoryItem) -> bool:
        with self._lock:
            return item.text_content is not None and any(
                other.pk != item.pk and (other.item_type, other.text_content) == (item.item_type, item.text_content)
                for other in self._live_items(item.user_id)
            )

    async def _cleanup_expired_items(self) -> int:
        with self._lock:
            expired = [item for item in self._items.values() if not _is_live(item)]
            return self._remove(expired) + _delete_expired(self._agent_data)

    async def _health_check(self) -> dict[str, Any]:
        engine = {"engine": "local memory"}
        return {
            "status": "ok",
            "components": {"storage_firestore": True, "storage_redis": True},
            "details": {"storage_firestore": engine, "storage_redis": engine},
        }

    def _matching(self, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]) -> list[MemoryItem]:
        return _matching(self._live_items(user_id), session_id, conditions)

    def _live_items(self, user_id: str) -> list[MemoryItem]:
        return [item for item in self._of_user(user_id) if _is_live(item)]

    def _of_user(self, user_id: str) -> list[MemoryItem]:
        return [item for item in self._items.values() if item.user_id == user_id]


def _stored(record: RecordT) -> RecordT:
    """A copy with JSON fields as a database would return them."""
    stored_copy = copy.deepcopy(record)
    for name in sorted({"metadata", "content"} & {field.name for field in stored_copy._meta.concrete_fields}):
        setattr(stored_copy, name, json.loads(json.dumps(getattr(stored_copy, name))))
    stored_copy._state.adding = False
    return stored_copy


def _is_live(record: MemoryItem | AgentData) -> bool:
    return record.expiration is None or record.expiration > timezone.now()


def _matching(
    items: Iterable[MemoryItem], session_id: str | None, conditions: tuple[Condition, ...]
) -> list[MemoryItem]:
    return [
        item
        for item in items
        if session_id in (None, item.session_id) and all(condition.matches(item) for condition in conditions)
    ]


def _activity(row: UserSession) -> tuple[datetime, str]:
    return row.last_activity, row.pk


def _newest_first(items: Iterable[MemoryItem]) -> list[MemoryItem]:
    return sorted(items, key=lambda item: (item.timestamp, item.pk), reverse=True)


def _nearest(items: Iterable[MemoryItem], vector: list[float]) -> Iterator[MemoryItem]:
    """Copies of the items with vectors of the same dimension, nearest first, with their `distance`."""
    import numpy as np  # slow to import, and not used without vectors

    query, measure = np.asarray(vector), FUNCTIONS[CosineDistance.function]
    comparable = [item for item in items if item.embedding is not None and len(item.embedding) == len(vector)]
    distances = [(measure(np.asarray(item.embedding), query), item) for item in comparable]
    for distance, item in sorted(
        ((distance, item) for distance, item in distances if distance is not None), key=lambda pair: pair[0]
    ):
        found = copy.deepcopy(item)
        found.distance = distance  # type: ignore[attr-defined]
        yield found


def _delete_expired(stored: dict[str, Any]) -> int:
    gone = [pk for pk, record in stored.items() if not _is_live(record)]
    for pk in gone:
        del stored[pk]
    return len(gone)
