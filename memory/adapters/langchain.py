"""LangChain: a history of chat messages and a retriever. See docs/adapters/langchain.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .extras import missing
from .owned import Owned

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.documents import Document
    from langchain_core.messages import (
        AIMessage,
        BaseMessage,
        HumanMessage,
        SystemMessage,
        messages_from_dict,
    )
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise missing("langchain", error) from error

if TYPE_CHECKING:
    from memory.lifecycle.erasure import Progress
    from memory.models import MemoryItem

    from .chat import Chat, Message

__all__ = ["DjangoChatMessageHistory", "DjangoRetriever"]

T = TypeVar("T")

FRAMEWORK: Final = "langchain"
ROLES: Final[Mapping[str, str]] = {"human": "user", "ai": "assistant"}
CLASSES: Final[Mapping[str, type[BaseMessage]]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
DEFAULTS: Final[tuple[Any, ...]] = (None, False, "", [], {})


class DjangoChatMessageHistory(Owned, BaseChatMessageHistory):
    """The messages of a conversation in one user's memory.

    Messages are memory items of the type `message`, read through the conversation cache if there is one. With `limit`,
    `messages` are the latest ones. Errors of the database are raised as `memory.exceptions.StorageError`, messages
    beyond its limits as `ValidationError`.
    """

    def __init__(self, session_id: str, user_id: str, *, limit: int | None = None, using: str | None = None) -> None:
        Owned.__init__(self, user_id, using)
        if limit is not None and limit < 1:
            raise ValueError("limit must be at least 1, or None.")
        self.session_id = session_id
        self.limit = limit

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first."""
        return self._messages(self._sync(lambda chat: chat.read(self.limit)))

    async def aget_messages(self) -> list[BaseMessage]:
        """As `messages`."""
        return self._messages(await self._async(lambda chat: chat.read(self.limit)))

    def add_messages(self, messages: Iterable[BaseMessage]) -> None:
        """Add messages at the end, all or none."""
        stored = [message_of(message) for message in messages]
        self._sync(lambda chat: chat.add(stored))

    async def aadd_messages(self, messages: Iterable[BaseMessage]) -> None:
        """As `add_messages`."""
        stored = [message_of(message) for message in messages]
        await self._async(lambda chat: chat.add(stored))

    def clear(self) -> None:
        """Delete the session and all its items."""
        self._sync(lambda chat: chat.clear())

    async def aclear(self) -> None:
        """As `clear`."""
        await self._async(lambda chat: chat.clear())

    def _messages(self, items: Iterable[MemoryItem]) -> list[BaseMessage]:
        forms = self._chat.forms(items, made)
        return [message for form in forms for message in messages_from_dict([form])]

    @cached_property
    def _chat(self) -> Chat:
        from .chat import Chat  # needs django.setup()

        return Chat(self.alias, self.user_id, self.session_id, FRAMEWORK)

    def _sync(self, function: Callable[[Chat], T]) -> T:
        return self.call(partial(self._with_chat, function))

    async def _async(self, function: Callable[[Chat], T]) -> T:
        return await self.acall(partial(self._with_chat, function))

    def _with_chat(self, function: Callable[[Chat], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        with storage_errors("Using the history"):
            return function(self._chat)


def message_of(message: BaseMessage) -> Message:
    """A message to store. It has no form of its own if role and text are all of it."""
    from memory.interchange.messages import text_of  # needs django.setup()

    from .chat import Message  # needs django.setup()

    data = message.model_dump(mode="json")
    text, _ = text_of(message.content)
    more = {name: value for name, value in data.items() if value not in DEFAULTS and name not in ("type", "content")}
    role = ROLES.get(message.type, message.type)
    is_simple = CLASSES.get(role) is type(message) and message.content == text and bool(text) and not more
    return Message(role, text, None if is_simple else {"type": message.type, "data": data})


def made(role: str, text: str) -> dict[str, Any] | None:
    """The form of a message that another framework wrote; None for one of a tool, and for one without text."""
    kind = CLASSES.get(role)
    return {"type": kind(text).type, "data": {"content": text}} if kind is not None and text else None


class DjangoRetriever(BaseRetriever):
    """Finds one user's memory items by words and meaning, best first.

    `k` is the number of documents, 1 to 100, also as an argument of `invoke`. `session_id` and `item_type` restrict the
    search, `min_score` leaves out results below it: `memory.search.MIN_SCORE` is a good value. A document has the
    item's text and id; its metadata are those of the item, and `score`, `user_id`, `session_id`, `item_type` and
    `timestamp`.
    """

    user_id: str
    session_id: str | None = None
    item_type: str | None = None
    k: int = 4
    min_score: float = 0.0
    using: str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._owned.call(partial(self._found, query, k))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return await self._owned.acall(partial(self._found, query, k))

    def erase_user(self, by: str = "") -> Progress:
        """Erase the user: all that the project stores of them, whatever wrote it. See `Owned.erase_user`."""
        return self._owned.erase_user(by)

    async def aerase_user(self, by: str = "") -> Progress:
        """As `erase_user`."""
        return await self._owned.aerase_user(by)

    @property
    def _owned(self) -> Owned:
        return Owned(self.user_id, self.using)

    def _found(self, query: str, k: int | None) -> list[Document]:
        from memory.exceptions import storage_errors  # needs django.setup()
        from memory.models import MemoryItem  # needs django.setup()

        with storage_errors("Searching the memory"):
            items = MemoryItem.objects.using(self._owned.alias).search(
                query,
                user_id=self.user_id,
                session_id=self.session_id,
                item_type=self.item_type,
                limit=self.k if k is None else k,
                min_score=self.min_score,
            )
        return [document_of(item) for item in items]


def document_of(item: Any) -> Document:
    """A result of search as a document."""
    own = {name: getattr(item, name) for name in ("score", "user_id", "session_id", "item_type")}
    metadata = {**item.metadata, **own, "timestamp": item.timestamp.isoformat()}
    return Document(id=item.pk, page_content=item.text_content or "", metadata=metadata)
