"""The store for staging and production: a database, with conversations read through the cache."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

from ..coherence import redis_cache_of
from ..conf import memory_settings
from ..exceptions import StorageError, storage_errors
from ..history import recent
from ..models import MemoryItem
from .filters import VALID_NOW, Condition
from .firestore import FirestoreMemoryManager

PROBE_SECONDS = 10


class ConcreteMemoryManager(FirestoreMemoryManager):
    """A `FirestoreMemoryManager` that reads conversations through the cache while it is available.

    The cache is `MEMORY["CACHE"]`, since all writers must update it (see docs/cache.md).
    """

    async def _get_conversation_history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        if session_id is None or any(condition != VALID_NOW for condition in conditions):
            return await super()._get_conversation_history(user_id, session_id, limit, conditions)
        superseded = VALID_NOW not in conditions
        function = partial(recent, user_id, session_id, limit, self.alias, superseded=superseded)
        return await self._run("Reading a conversation", function)

    async def _health_check(self) -> dict[str, Any]:
        health = await super()._health_check()
        details = await self._redis_details()
        failed = "failure" in details
        return {
            "status": "degraded" if failed and health["status"] == "ok" else health["status"],
            "components": {**health["components"], "storage_redis": not failed},
            "details": {**health["details"], **({"storage_redis": details} if details else {})},
        }

    async def _redis_details(self) -> dict[str, str]:
        """Details of Redis; empty if it is healthy."""
        try:
            with storage_errors("Writing to Redis and reading it back"):
                return await self._threads.run(probe_redis)
        except StorageError as error:
            return {"failure": str(error)}


def probe_redis() -> dict[str, str]:
    """Write to the project's Redis and read the value back. Raises exceptions of django-redis."""
    cache = redis_cache_of(memory_settings.history_cache)
    if cache is None:
        return {"engine": "none"}
    # django-redis' client, since the cache may ignore errors.
    key, value = f"memory-probe:{uuid4().hex}", uuid4().hex
    cache.client.set(key, value, timeout=PROBE_SECONDS)
    is_equal = cache.client.get(key) == value
    cache.client.delete(key)
    return {} if is_equal else {"failure": "Redis returned a different value than was written."}
