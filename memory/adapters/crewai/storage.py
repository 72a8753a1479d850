"""CrewAI's storage backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from memory.adapters.extras import missing
from memory.adapters.owned import Owned

try:
    from crewai.memory.storage.backend import StorageBackend
    from crewai.memory.types import MemoryRecord, ScopeInfo
except ImportError as error:
    raise missing("crewai", error) from error

from .embedder import AppEmbedder

if TYPE_CHECKING:
    from .records import Found, Records, Wanted

T = TypeVar("T")


class DjangoStorage(Owned, StorageBackend):
    """A storage of CrewAI's memory in one user's memory.

    Records are memory items of the type `memory`. `embedder` is the app's embedder: pass it to CrewAI's `Memory`, and
    recall is the app's search, by words and meaning. With another embedder vectors are stored with the items, and
    recall is by the cosine alone.

    A scope is the path with all below it: `/team` is no part of `/te`. Errors of the database are raised as
    `memory.exceptions.StorageError`, records beyond its limits as `ValidationError`, and vectors of another dimension
    than the stored ones as CrewAI's `EmbeddingDimensionMismatchError`.
    """

    def __init__(self, user_id: str, *, using: str | None = None) -> None:
        Owned.__init__(self, user_id, using)
        self.embedder = AppEmbedder()

    def save(self, records: list[MemoryRecord]) -> None:
        """Store records, all or none. One with a known id replaces the stored one."""
        self.call(self._saving(records))

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """The best records in the scope that have any of the categories and all of the metadata, best first."""
        wanted = _wanted(scope_prefix, categories, metadata_filter)
        return self.call(self._searching(query_embedding, wanted, limit, min_score))

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the records that meet all conditions, without any all; return their number."""
        wanted = _wanted(scope_prefix, categories, metadata_filter, record_ids, older_than)
        return self.call(self._deleting(wanted))

    def update(self, record: MemoryRecord) -> None:
        """Replace the record with this id, or store it."""
        self.call(partial(self._run, lambda found: found.replace(record)))

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """The record with this id."""
        return self.call(partial(self._run, lambda found: found.get(record_id)))

    def list_records(self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0) -> list[MemoryRecord]:
        """The records in a scope, newest first."""
        if limit < 1 or offset < 0:
            return []
        wanted = _wanted(scope_prefix)
        return self.call(partial(self._run, lambda found: found.newest(wanted, offset + limit)))[offset:]

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """The number of records in a scope, their categories and times, and the scopes right below it."""
        return self.call(partial(self._run, lambda found: found.info(scope)))

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes right below a scope."""
        return self.call(partial(self._run, lambda found: found.children(parent)))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """The categories in a scope, with their numbers of records."""
        return self.call(partial(self._run, lambda found: found.categories(scope_prefix)))

    def count(self, scope_prefix: str | None = None) -> int:
        """The number of records in a scope."""
        return self.call(partial(self._run, lambda found: found.count(scope_prefix)))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete all records in a scope."""
        self.delete(scope_prefix)

    async def asave(self, records: list[MemoryRecord]) -> None:
        """As `save`."""
        await self.acall(self._saving(records))

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """As `search`."""
        wanted = _wanted(scope_prefix, categories, metadata_filter)
        return await self.acall(self._searching(query_embedding, wanted, limit, min_score))

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """As `delete`."""
        wanted = _wanted(scope_prefix, categories, metadata_filter, record_ids, older_than)
        return await self.acall(self._deleting(wanted))

    def _saving(self, records: Sequence[MemoryRecord]) -> Callable[[], None]:
        return partial(self._run, lambda found: found.save(records))

    def _searching(self, vector: list[float], wanted: Wanted, limit: int, least: float) -> Callable[[], list[Found]]:
        return partial(self._run, lambda found: found.search(vector, wanted, limit, least))

    def _deleting(self, wanted: Wanted) -> Callable[[], int]:
        return partial(self._run, lambda found: found.delete(wanted))

    def _run(self, function: Callable[[Records], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .records import Records  # needs django.setup()

        with storage_errors("Using the memory"):
            return function(Records(self.alias, self.user_id, self.embedder))


def _wanted(
    scope: str | None = None,
    categories: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
    ids: list[str] | None = None,
    older_than: datetime | None = None,
) -> Wanted:
    from .records import Wanted  # needs django.setup()

    return Wanted(scope, categories, metadata, ids, older_than)
