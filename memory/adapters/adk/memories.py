"""ADK's memory service, on the app's search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from memory.adapters.extras import missing
from memory.adapters.owned import Connected

try:
    from google.adk.events.event import Event
    from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
    from google.adk.memory.memory_entry import MemoryEntry
    from google.adk.sessions.session import Session
    from google.genai.types import Content, Part
    from pydantic_core import to_jsonable_python
except ImportError as error:
    raise missing("adk", error) from error

from .events import FRAMEWORK, role_of, text_of
from .names import App

if TYPE_CHECKING:
    from memory.lifecycle.erasure import Progress
    from memory.models import MemoryItem

    from .recollections import Recollection

T = TypeVar("T")


class DjangoMemoryService(Connected, BaseMemoryService):
    """A memory of ADK on the app's search, by words and meaning.

    What is added is copied to memory items of the type `memory`, each event once, whatever session service there is.
    `limit` is the number of results, 1 to 100. Results below `min_score` are left out; the default is
    `memory.search.MIN_SCORE`.
    """

    def __init__(self, *, limit: int = 10, min_score: float | None = None, using: str | None = None) -> None:
        Connected.__init__(self, using)
        if not 1 <= limit <= 100:
            raise ValueError("limit must be from 1 to 100.")
        self.limit = limit
        self.min_score = min_score

    async def add_session_to_memory(self, session: Session) -> None:
        """Add the events of a session that were not added before."""
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add the events with text that were not added before."""
        about = to_jsonable_python(dict(custom_metadata or {}))
        found = [
            _recollection(event.id, event.author, event.content, event.timestamp, about)
            for event in events
            if event.content is not None and not event.partial
        ]
        await self._run(lambda app: app.add(session_id or "", found), app_name, user_id)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add memories. One with an id that was added before is left as it is."""
        from django.utils.dateparse import parse_datetime  # with Django's settings

        more = dict(custom_metadata or {})
        found = []
        for entry in memories:
            time = parse_datetime(entry.timestamp) if entry.timestamp else None
            about = to_jsonable_python({**more, **entry.custom_metadata})
            seconds = None if time is None else time.timestamp()
            found.append(_recollection(entry.id or uuid4().hex, entry.author, entry.content, seconds, about))
        await self._run(lambda app: app.add("", found), app_name, user_id)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """The user's memories in the app that answer the query, best first."""
        if not query.strip():
            return SearchMemoryResponse()
        items = await self._run(lambda app: app.search(query, self.limit, self.min_score), app_name, user_id)
        return SearchMemoryResponse(memories=[entry_of(item) for item in items])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Delete a memory by the id that a search returned. It is not added again with its session."""
        if memory_id:
            await self._run(lambda app: app.delete(memory_id), app_name, user_id)

    async def erase_user(self, *, user_id: str, by: str = "") -> Progress:
        """Erase a user: all that the project stores of them, whatever wrote it. `by` says who asked for it.

        It returns when nothing is left, which takes some seconds; `receipt` of the result is the text of the receipt.
        Writes of the user are refused for a day.
        """
        return await self.acall(partial(self._erase, user_id, by))

    async def _run(self, function: Callable[[Any], T], app_name: str, user_id: str) -> T:
        return await self.acall(partial(self._with_app, function, App(app_name, user_id)))

    def _with_app(self, function: Callable[[Any], T], app: App) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .recollections import Recollections  # needs django.setup()

        with storage_errors("Using the memory"):
            return function(Recollections(self.alias, app))


def entry_of(item: MemoryItem) -> MemoryEntry:
    """A result of search."""
    stored = item.metadata[FRAMEWORK]
    content = stored.get("content") or Content(parts=[Part(text=item.text_content or "")])
    return MemoryEntry(
        id=item.pk,
        author=stored.get("author"),
        content=content,
        timestamp=item.timestamp.isoformat(),
        custom_metadata=stored.get("custom_metadata", {}),
    )


def _recollection(
    key: str, author: str | None, content: Content | None, time: float | None, about: dict[str, Any]
) -> Recollection:
    from .recollections import Recollection  # needs django.setup()

    form: dict[str, Any] = {} if content is None else content.model_dump(mode="json", exclude_none=True)
    return Recollection(key, author, form, role_of(author, content), text_of(content), time, about)
