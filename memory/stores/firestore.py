"""The store in a database: that of the app's models, or a Firestore database given by its project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q

from ..batches import ROWS_AT_ONCE, batches
from ..conf import memory_settings
from ..contention import retry_on_contention, write_transaction
from ..exceptions import StorageError, storage_errors
from ..models import AgentData, MemoryItem, UserSession
from ..querysets import MemoryItemQuerySet
from ..querysets.scan import CHUNK_SIZE
from .base import MAX_TOP_K, MemoryManager, Search
from .deletion import delete_user, forget_items
from .filters import VALID_NOW, Condition, filtered, listed, narrowed
from .persona import PersonaConfig
from .threads import THREADS, DatabaseThreads
from .updating import is_live, update_item

T = TypeVar("T")
RecordT = TypeVar("RecordT", MemoryItem, AgentData)

ENGINE = "memory.backends.firestore"
DEFAULT_DATABASE = "(default)"


class FirestoreMemoryManager(MemoryManager):
    """A store that reads the database without a cache.

    Without arguments the database is `MEMORY["DATABASE"]`. With `project_id` it is Firestore in that Google Cloud
    project; other options, such as credentials, default to those of the app's database if it is on Firestore, else to
    `MEMORY["FIRESTORE"]`.

    `credentials_json` is a service account key as JSON, `credentials_path` the path of a key file, `database` the
    database id, `host` an emulator's `host:port`, `using` an alias in `DATABASES`, `threads` the number of concurrent
    calls.
    """

    persistent: ClassVar[bool] = True

    def __init__(
        self,
        project_id: str | None = None,
        credentials_json: str | None = None,
        credentials_path: str | None = None,
        *,
        database: str = DEFAULT_DATABASE,
        host: str | None = None,
        using: str | None = None,
        threads: int = THREADS,
    ) -> None:
        if project_id is not None and using is not None:
            raise ImproperlyConfigured("project_id and using are mutually exclusive: an alias determines its project.")
        if project_id is None:
            self.alias = using or memory_settings.database
        else:
            keys = {"credentials_json": credentials_json, "credentials_path": credentials_path}
            self.alias = configured_alias(project_id, database, host, {k: v for k, v in keys.items() if v})
        self._threads = DatabaseThreads(self.alias, threads)

    def _open(self) -> None:
        with storage_errors("Connecting to storage"):
            self._threads.call(self._read_one)

    def _close(self) -> None:
        self._threads.close()

    def _read_one(self) -> None:
        MemoryItem.all_objects.using(self.alias).order_by("pk").values_list("pk", flat=True).first()

    async def _run(self, doing: str, function: Callable[[], T]) -> T:
        """Await a function on the store's threads; driver errors are raised as `StorageError`."""
        with storage_errors(doing):
            return await self._threads.run(function)

    async def _add_memory_items(self, items: list[MemoryItem]) -> list[str]:
        await self._run("Storing memory items", partial(self._create, MemoryItem, items, using=self.alias))
        return [str(item.pk) for item in items]

    @retry_on_contention
    def _create(self, model: type[MemoryItem] | type[AgentData], records: list[Any], *, using: str) -> None:
        # A savepoint inside of a caller's transaction: a rejected record must not break it.
        with write_transaction(using):
            model.objects.using(using).bulk_create(records)

    async def _get_memory_item(self, item_id: str) -> MemoryItem | None:
        return await self._run("Reading a memory item", partial(live_record, MemoryItem, self.alias, item_id))

    async def _get_memory_items(self, item_ids: list[str]) -> dict[str, MemoryItem]:
        return await self._run("Reading memory items", partial(live_records, self.alias, item_ids))

    async def _update_memory_item(
        self, item_id: str, changes: dict[str, Any], merge_metadata: bool
    ) -> MemoryItem | None:
        function = partial(update_item, self.alias, item_id, changes, merge_metadata)
        return await self._run("Changing a memory item", function)

    async def _delete_memory_item(self, item_id: str) -> bool:
        items = MemoryItem.objects.using(self.alias).filter(pk=item_id)
        _, counts = await self._run("Deleting a memory item", items.delete)
        return counts.get(MemoryItem._meta.label, 0) > 0

    async def _forget(self, user_id: str, session_id: str | None, conditions: tuple[Condition, ...]) -> int:
        function = partial(forget_items, self.alias, user_id, session_id, conditions)
        return await self._run("Deleting memory items", function)

    async def _list_sessions(self, user_id: str, limit: int, before: UserSession | None) -> list[UserSession]:
        return await self._run("Listing sessions", partial(sessions_after, self.alias, user_id, limit, before))

    async def _delete_user(self, user_id: str) -> int:
        return await self._run("Deleting a user", partial(delete_user, user_id, self.alias))

    async def _get_conversation_history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        function = partial(self._history, user_id, session_id, limit, conditions)
        return await self._run("Reading a conversation", function)

    def _history(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        items, scanned = narrowed(self._live, user_id, session_id, conditions)
        ordered = items.without_search_data().newest_first()
        return listed(ordered, scanned, VALID_NOW in conditions, limit)

    async def _get_oldest_items(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        return await self._run("Reading a conversation", partial(self._oldest, user_id, session_id, limit, conditions))

    def _oldest(
        self, user_id: str, session_id: str | None, limit: int, conditions: tuple[Condition, ...]
    ) -> list[MemoryItem]:
        items, scanned = narrowed(self._live, user_id, session_id, conditions)
        ordered = items.without_search_data().order_by("timestamp", "id")
        return listed(ordered, scanned, VALID_NOW in conditions, limit)

    @property
    def _live(self) -> MemoryItemQuerySet:
        items: MemoryItemQuerySet = MemoryItem.objects.using(self.alias)
        return items

    async def _search(self, user_id: str, search: Search) -> list[MemoryItem]:
        items = filtered(self._live, user_id, search.session_id, search.conditions)
        function = partial(items.search, search.query, **asdict(search.options))
        return await self._run("Searching a memory", function)

    async def _semantic_search(
        self, user_id: str, vector: list[float], persona: PersonaConfig | None, top_k: int
    ) -> list[MemoryItem]:
        items = MemoryItem.objects.using(self.alias).for_user(user_id)
        if persona is not None:
            items = items.filter(Q(persona_active=persona.name) | Q(persona_active__isnull=True))
        found = items.without_search_data().without_index()
        return await self._run("Searching a memory", partial(nearest_valid, found, vector, top_k))

    async def _add_agent_data(self, batch: list[AgentData]) -> list[str]:
        await self._run("Storing agents' data", partial(self._create, AgentData, batch, using=self.alias))
        return [str(data.pk) for data in batch]

    async def _get_agent_data(self, data_id: str) -> AgentData | None:
        return await self._run("Reading agents' data", partial(live_record, AgentData, self.alias, data_id))

    async def _check_duplicate(self, item: MemoryItem) -> bool:
        same = MemoryItem.objects.using(self.alias).duplicates_of(item).order_by().values_list("pk", flat=True)[:2]
        found: list[str] = await self._run("Looking for duplicates", partial(list, same))
        return any(pk != item.pk for pk in found)

    async def _cleanup_expired_items(self) -> int:
        return await self._run("Deleting what has expired", self._purge)

    def _purge(self) -> int:
        return sum(model.all_objects.using(self.alias).purge() for model in (MemoryItem, AgentData))

    async def _health_check(self) -> dict[str, Any]:
        failure = await self._failure()
        return {
            "status": "unavailable" if failure else "ok",
            "components": {"storage_firestore": not failure},
            "details": {"storage_firestore": {"failure": failure}} if failure else {},
        }

    async def _failure(self) -> str:
        """The error message of a test query; empty on success."""
        try:
            await self._run("Reading one item", self._read_one)
        except StorageError as error:
            return str(error)
        return ""


def live_record(model: type[RecordT], alias: str, pk: str) -> RecordT | None:
    """The record, or None if it does not exist or has expired.

    The expiration is checked in Python, so that Firestore can use a lookup by key instead of a query.
    """
    try:
        found: RecordT = model.all_objects.using(alias).get(pk=pk)
    except model.DoesNotExist:
        return None
    return found if is_live(found) else None


def live_records(alias: str, pks: list[str]) -> dict[str, MemoryItem]:
    """The items with these ids, by id, that have not expired."""
    items = MemoryItem.all_objects.using(alias)
    found = (item for batch in batches(pks, ROWS_AT_ONCE) for item in items.order_by().filter(pk__in=batch))
    return {item.pk: item for item in found if is_live(item)}


def sessions_after(alias: str, user_id: str, limit: int, before: UserSession | None) -> list[UserSession]:
    """The `limit` sessions that follow `before` (None: the first ones) in the order of their last activity."""
    rows = UserSession.objects.using(alias).for_user(user_id).newest_first()
    if before is None:
        return list(rows[:limit])
    last = (before.last_activity, before.pk)
    rows, asked = rows.filter(last_activity__lte=before.last_activity), limit + 1
    while True:
        found = list(rows[:asked])
        after = [row for row in found if (row.last_activity, row.pk) < last][:limit]
        if len(after) == limit or len(found) < asked:
            return after
        asked *= 2  # more sessions have exactly this time


def nearest_valid(items: MemoryItemQuerySet, vector: list[float], top_k: int) -> list[MemoryItem]:
    """The nearest items that are valid now. More are read only if some of the nearest are not."""
    asked = top_k
    while True:
        found = list(items.nearest(vector, asked))
        valid = [item for item in found if item.is_valid()]
        if len(valid) >= top_k or len(found) < asked or asked == MAX_TOP_K:
            return valid[:top_k]
        asked = min(MAX_TOP_K, asked + 2 * (top_k - len(valid)) + CHUNK_SIZE)


def configured_alias(project_id: str, database: str, host: str | None, credentials: dict[str, str]) -> str:
    """The alias in `connections` of a project's Firestore database; created if missing.

    Raises `ImproperlyConfigured` if this process uses the database with other credentials or another host.
    """
    own: dict[str, Any] = connections.databases[memory_settings.database]
    template: dict[str, Any] = own if own["ENGINE"] == ENGINE else {**memory_settings.firestore, "ENGINE": ENGINE}
    wanted: dict[str, Any] = {
        **template,
        "NAME": database,
        "PROJECT": project_id,
        **({} if host is None else {"HOST": host}),
        "OPTIONS": {**template.get("OPTIONS", {}), **credentials},
    }
    if wanted == own:
        return memory_settings.database
    alias = f"firestore-{project_id}-{database}"
    made = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: wanted})[alias]
    if connections.databases.setdefault(alias, made) != made:
        raise ImproperlyConfigured(
            f"Database {database} of project {project_id} is already used in this process with other credentials or "
            "another host."
        )
    return alias
