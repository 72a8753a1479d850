"""LlamaIndex: a chat store. See docs/adapters/llama-index.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .extras import missing
from .owned import Owned

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.llms import ChatMessage
    from llama_index.core.storage.chat_store.base import BaseChatStore
except ImportError as error:
    raise missing("llama-index", error) from error

if TYPE_CHECKING:
    from memory.lifecycle.erasure import Progress
    from memory.models import MemoryItem

    from .chat import Chat, Message

__all__ = ["DjangoChatStore"]

T = TypeVar("T")

FRAMEWORK: Final = "llama_index"
ROLES: Final[Mapping[str, str]] = {"chatbot": "assistant", "model": "assistant", "function": "tool"}
SIMPLE: Final = frozenset({"user", "assistant", "system", "developer"})


class DjangoChatStore(BaseChatStore):
    """A chat store in one user's memory. A key is a session.

    Messages are memory items of the type `message`, read through the conversation cache if there is one. `using` is a
    database alias; None: `MEMORY["DATABASE"]`. Errors of the database are raised as `memory.exceptions.StorageError`,
    messages beyond its limits as `ValidationError`.
    """

    user_id: str
    using: str | None = None
    _owned: Owned = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Raises `ValueError` without a user."""
        super().model_post_init(context)
        self._owned = Owned(self.user_id, self.using)

    @classmethod
    def class_name(cls) -> str:
        """LlamaIndex's name of the class."""
        return "DjangoChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replace all messages at once."""
        self._sync(key, partial(_replace, messages=messages))

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """As `set_messages`."""
        await self._async(key, partial(_replace, messages=messages))

    def get_messages(self, key: str) -> list[ChatMessage]:
        """The messages, oldest first."""
        return self._sync(key, _read)

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """As `get_messages`."""
        return await self._async(key, _read)

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Add a message at the end."""
        self._sync(key, partial(_add, message=message))

    async def async_add_message(self, key: str, message: ChatMessage) -> None:
        """As `add_message`."""
        await self._async(key, partial(_add, message=message))

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Delete the session with all its items; return its messages, or None if there are none."""
        return self._sync(key, _clear)

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """As `delete_messages`."""
        return await self._async(key, _clear)

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete a message by its place, from the end if negative; return it, or None if there is none."""
        return self._sync(key, partial(_remove, place=idx))

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """As `delete_message`."""
        return await self._async(key, partial(_remove, place=idx))

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Delete the last message; return it, or None if there is none."""
        return self._sync(key, _pop)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """As `delete_last_message`."""
        return await self._async(key, _pop)

    def get_keys(self) -> list[str]:
        """The ids of all the user's sessions, those with the latest activity first."""
        return self._owned.call(self._keys)

    async def aget_keys(self) -> list[str]:
        """As `get_keys`."""
        return await self._owned.acall(self._keys)

    def _keys(self) -> list[str]:
        from memory.exceptions import storage_errors  # needs django.setup()
        from memory.models import UserSession  # needs django.setup()

        with storage_errors("Listing the sessions"):
            rows = UserSession.objects.using(self._owned.alias).for_user(self.user_id).newest_first()
            return list(rows.values_list("session_id", flat=True))

    def erase_user(self, by: str = "") -> Progress:
        """Erase the user: all that the project stores of them, whatever wrote it. See `Owned.erase_user`."""
        return self._owned.erase_user(by)

    async def aerase_user(self, by: str = "") -> Progress:
        """As `erase_user`."""
        return await self._owned.aerase_user(by)

    def _sync(self, key: str, function: Callable[[Chat], T]) -> T:
        return self._owned.call(partial(self._with_chat, key, function))

    async def _async(self, key: str, function: Callable[[Chat], T]) -> T:
        return await self._owned.acall(partial(self._with_chat, key, function))

    def _with_chat(self, key: str, function: Callable[[Chat], T]) -> T:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .chat import Chat  # needs django.setup()

        with storage_errors("Using the chat store"):
            return function(Chat(self._owned.alias, self.user_id, key, FRAMEWORK))


def _read(chat: Chat) -> list[ChatMessage]:
    return _messages(chat, chat.read())


def _add(chat: Chat, message: ChatMessage) -> None:
    chat.add([message_of(message)])


def _replace(chat: Chat, messages: Sequence[ChatMessage]) -> None:
    new = [message_of(message) for message in messages]
    while not chat.replace([item.pk for item in chat.read()], new):
        """Another writer came between."""


def _clear(chat: Chat) -> list[ChatMessage] | None:
    found = _read(chat)
    chat.clear()
    return found or None


def _remove(chat: Chat, place: int) -> ChatMessage | None:
    shown = [(item, message) for item in chat.read() for message in _messages(chat, [item])]
    if not -len(shown) <= place < len(shown):
        return None
    item, message = shown[place]
    return message if chat.remove(item.pk) else None


def _pop(chat: Chat) -> ChatMessage | None:
    while (item := chat.pop()) is not None:
        if found := _messages(chat, [item]):
            return found[0]
    return None


def _messages(chat: Chat, items: Sequence[MemoryItem]) -> list[ChatMessage]:
    return [ChatMessage(**form) for form in chat.forms(items, made)]


def message_of(message: ChatMessage) -> Message:
    """A message to store. It has no form of its own if role and text are all of it."""
    from .chat import Message  # needs django.setup()

    form: dict[str, Any] = message.model_dump(mode="json")
    role, text = message.role.value, message.content or ""
    is_simple = role in SIMPLE and form == ChatMessage(role=role, content=text).model_dump(mode="json") and bool(text)
    return Message(ROLES.get(role, role), text, None if is_simple else form)


def made(role: str, text: str) -> dict[str, Any] | None:
    """The form of a message that another framework wrote; None for one of a tool, and for one without text."""
    return {"role": role, "content": text} if role in SIMPLE and text else None
