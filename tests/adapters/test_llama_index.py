"""LlamaIndex's chat store: the behaviours of its own simple store, and traps seen in others."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.base import BaseChatStore

from memory.adapters.llama_index import DjangoChatStore
from memory.exceptions import ValidationError
from memory.models import MemoryItem, UserSession
from tests.adapters import DATABASE

pytestmark = DATABASE

MESSAGES = [
    ChatMessage(role="system", content="Be kind"),
    ChatMessage(role="user", content="Hello, I am Ada"),
    ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [{"args": [[1, [2]], []]}], "x": None}),
    ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="look", tool_kwargs={"rows": [[1]]})]),
    ChatMessage(role="tool", content="found", additional_kwargs={"tool_call_id": "c1"}),
    ChatMessage(role="user", blocks=[TextBlock(text="What"), ImageBlock(image=b"\x89PNG", image_mimetype="image/png")]),
    ChatMessage(role="model", blocks=[ThinkingBlock(content="hm"), TextBlock(text="A cat")]),
    ChatMessage(role="user", content=""),
]


@pytest.fixture
def store() -> DjangoChatStore:
    return DjangoChatStore(user_id="ada")


def said(text: str, role: str = "user") -> ChatMessage:
    return ChatMessage(role=role, content=text)


def texts(messages: list[ChatMessage] | None) -> list[str | None] | None:
    return None if messages is None else [message.content for message in messages]


def test_messages_come_back_as_they_were_added(store: DjangoChatStore) -> None:
    """Of every kind, in their order, one by one and at once."""
    assert isinstance(store, BaseChatStore)
    assert store.get_messages("trip") == []
    for message in MESSAGES:
        store.add_message("trip", message)
    assert store.get_messages("trip") == MESSAGES
    store.set_messages("trip", MESSAGES[::-1])
    assert store.get_messages("trip") == MESSAGES[::-1]


def test_it_behaves_as_the_simple_store(store: DjangoChatStore) -> None:
    """Deletions by place and from the end, of present and missing keys."""
    outcomes: list[list[Any]] = []
    for one in (store, SimpleChatStore()):
        seen: list[Any] = [one.delete_messages("trip"), one.delete_message("trip", 0), one.delete_last_message("trip")]
        one.set_messages("trip", [said(str(number)) for number in range(6)])
        one.add_message("other", said("x"))
        seen += [one.delete_message("trip", 1), one.delete_message("trip", 5), one.delete_message("trip", -2)]
        seen += [one.delete_last_message("trip"), texts(one.get_messages("trip")), sorted(one.get_keys())]
        one.set_messages("trip", [])
        seen += [one.get_messages("trip"), texts(one.delete_messages("other")), one.get_messages("other")]
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]
    assert store.delete_last_message("trip") is None
    assert store.delete_message("trip", -1) is None


def test_the_async_methods_do_the_same(store: DjangoChatStore) -> None:
    """Each of them."""

    async def use() -> list[Any]:
        await store.aset_messages("trip", [said("0"), said("1"), said("2")])
        await store.async_add_message("trip", said("3"))
        gone = [await store.adelete_message("trip", 0), await store.adelete_last_message("trip")]
        return [texts(await store.aget_messages("trip")), texts(gone), await store.aget_keys()]  # type: ignore[arg-type]

    assert async_to_sync(use)() == [["1", "2"], ["0", "3"], ["trip"]]
    assert texts(async_to_sync(store.adelete_messages)("trip")) == ["1", "2"]


def test_users_and_keys_are_apart(store: DjangoChatStore) -> None:
    """Neither reads, lists, changes or deletes the other's."""
    other = DjangoChatStore(user_id="bob")
    for one, key in ((store, "trip"), (store, "trip_2027"), (other, "trip")):
        one.add_message(key, said(f"{one.user_id} {key}"))
    store.set_messages("trip", [said("new")])
    store.delete_last_message("trip")
    assert other.get_keys() == ["trip"]
    store.delete_messages("trip")
    assert texts(other.get_messages("trip")) == ["bob trip"]
    assert texts(store.get_messages("trip_2027")) == ["ada trip_2027"]
    with pytest.raises(ValueError, match="user_id"):
        DjangoChatStore(user_id="")


def test_a_message_beyond_the_limits_changes_nothing(store: DjangoChatStore) -> None:
    """Nor do the others that are set with it."""
    store.add_message("trip", said("kept"))
    with pytest.raises(ValidationError):
        store.set_messages("trip", [said("new"), said("x" * 1_100_000)])
    with pytest.raises(ValidationError):
        store.add_message("", said("no key"))
    assert texts(store.get_messages("trip")) == ["kept"]


def test_messages_are_memories(store: DjangoChatStore, make_item: Any) -> None:
    """Search finds what was said; the store reads what others wrote."""
    store.add_message("trip", said("My favourite dish is risotto with saffron"))
    [best] = MemoryItem.objects.search("Which dish is the favourite?", user_id="ada", limit=1)
    assert (best.role, best.session_id, best.item_type) == ("user", "trip", "message")
    make_item(session_id="trip", text_content="From elsewhere", metadata={"role": "assistant"})
    make_item(session_id="trip", text_content="A result", metadata={"role": "tool"})
    assert store.get_messages("trip")[1:] == [said("From elsewhere", "assistant")]
    assert store.delete_message("trip", 1) == said("From elsewhere", "assistant")
    assert UserSession.objects.count() == 1


def test_a_buffer_keeps_its_chat(store: DjangoChatStore) -> None:
    """LlamaIndex's own memory, with the store in place of its own."""
    buffer = ChatMemoryBuffer.from_defaults(
        chat_store=store, chat_store_key="trip", token_limit=1_000, tokenizer_fn=str.split
    )
    for number in range(3):
        buffer.put(said(f"question {number}"))
        buffer.put(said(f"answer {number}", "assistant"))
    again = ChatMemoryBuffer.from_defaults(
        chat_store=DjangoChatStore(user_id="ada"), chat_store_key="trip", token_limit=1_000, tokenizer_fn=str.split
    )
    assert texts(again.get())[-2:] == ["question 2", "answer 2"]  # type: ignore[index]
    again.reset()
    assert buffer.get_all() == []
