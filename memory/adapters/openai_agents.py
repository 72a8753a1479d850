"""The OpenAI Agents SDK: a session. See docs/adapters/openai-agents.md."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from .extras import missing
from .owned import Owned

try:
    from agents.items import TResponseInputItem
    from agents.memory import SessionABC, SessionSettings
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit
except ImportError as error:
    raise missing("openai-agents", error) from error

if TYPE_CHECKING:
    from memory.models import MemoryItem

    from .chat import Chat, Message

__all__ = ["DjangoSession"]

T = TypeVar("T")
Items = list[TResponseInputItem]
Compact = Callable[[Items, Mapping[str, Any]], Awaitable[Items | None]]

FRAMEWORK: Final = "openai"
ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
SIMPLE: Final = ({"role", "content"}, {"role", "content", "type"})


class DjangoSession(Owned, SessionABC):
    """A session of the OpenAI Agents SDK in one user's memory.

    Items are memory items of the type `message`, read through the conversation cache if there is one. All methods but
    the reads are atomic. `compact` is an async function of all items and of the arguments of `run_compaction`, which
    returns the items that replace them, or None to leave them.

    Errors of the database are raised as `memory.exceptions.StorageError`, items beyond its limits as `ValidationError`.
    """

    def __init__(
        self,
        session_id: str,
        user_id: str,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        compact: Compact | None = None,
        using: str | None = None,
    ) -> None:
        Owned.__init__(self, user_id, using)
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings or SessionSettings())
        self.compact = compact

    async def get_items(self, limit: int | None = None) -> Items:
        """The latest `limit` items, oldest first; without one those of the settings, or all. None for 0 and below."""
        wanted = resolve_session_limit(limit, self.session_settings)
        items = await self._run(lambda chat: chat.read(wanted))
        return self._forms(items)

    async def add_items(self, items: Items) -> None:
        """Add items at the end, all or none."""
        messages = [message_of(item) for item in items]
        await self._run(lambda chat: chat.add(messages))

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the latest item and return it; None for an empty session."""
        while (item := await self._run(lambda chat: chat.pop())) is not None:
            if forms := self._forms([item]):
                return forms[0]
        return None

    async def clear_session(self) -> None:
        """Delete the session and all its items."""
        await self._run(lambda chat: chat.clear())

    async def run_compaction(self, args: Any = None) -> None:
        """Replace all items at once by those that `compact` returns, if none was added or removed meanwhile."""
        if self.compact is None:
            return
        items = await self._run(lambda chat: chat.read())
        compacted = await self.compact(self._forms(items), args or {})
        if compacted is not None:
            ids, messages = [item.pk for item in items], [message_of(item) for item in compacted]
            await self._run(lambda chat: chat.replace(ids, messages))

    def _forms(self, items: Sequence[MemoryItem]) -> Items:
        return self._chat.forms(items, made)

    @cached_property
    def _chat(self) -> Chat:
        from .chat import Chat  # needs django.setup()

        return Chat(self.alias, self.user_id, self.session_id, FRAMEWORK)

    async def _run(self, function: Callable[[Chat], T]) -> T:
        return await self.acall(partial(self._with_chat, function))

    def _with_chat(self, function: Callable[[Chat], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        with storage_errors("Using the session"):
            return function(self._chat)


def message_of(item: TResponseInputItem) -> Message:
    """An item as a message. Raises `TypeError` for one that is not JSON."""
    from memory.interchange.formats.openai import ITEMS  # needs django.setup()
    from memory.interchange.messages import text_of  # needs django.setup()

    from .chat import Message  # needs django.setup()

    form: dict[str, Any] = json.loads(json.dumps(item))
    kind, content = form.get("type"), form.get("content")
    role = form.get("role") or ITEMS.get(str(kind), "assistant")
    if isinstance(content, str) and content and form.keys() in SIMPLE and kind in (None, "message") and role in ROLES:
        return Message(role, content, None if kind is None else form)
    text, _ = text_of(content if content is not None else form.get("output"))
    return Message(str(role), text, form)


def made(role: str, text: str) -> TResponseInputItem | None:
    """The item of a message that another framework wrote; None for one of a tool, and for one without text."""
    return cast("TResponseInputItem", {"role": role, "content": text}) if role in ROLES and text else None
