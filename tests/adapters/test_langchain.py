"""LangChain's history of chat messages and retriever, with LangChain's own tests of retrievers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_tests.integration_tests import RetrieversIntegrationTests

from memory.adapters.langchain import DjangoChatMessageHistory, DjangoRetriever
from memory.exceptions import ValidationError
from memory.models import MemoryItem
from tests.adapters import DATABASE, record

pytestmark = DATABASE

MESSAGES = [
    SystemMessage("Be kind"),
    HumanMessage("Hello, I am Ada"),
    AIMessage("Hello Ada", id="run-1", response_metadata={"model": "m"}, name="bot"),
    AIMessage("", tool_calls=[{"name": "look", "args": {"rows": [[1, [2]], []]}, "id": "c1", "type": "tool_call"}]),
    ToolMessage("found", tool_call_id="c1", artifact={"rows": [[1]]}, status="error"),
    HumanMessage([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]),
    AIMessage("A cat", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ChatMessage("As a critic", role="critic"),
    HumanMessage(""),
    AIMessageChunk("streamed"),
]


@pytest.fixture
def history() -> DjangoChatMessageHistory:
    return DjangoChatMessageHistory("trip", "ada")


def test_messages_come_back_as_they_were_added(history: DjangoChatMessageHistory) -> None:
    """Of every kind, in their order, also from an iterator."""
    assert isinstance(history, BaseChatMessageHistory)
    assert history.messages == []
    history.add_messages([])
    history.add_messages(message for message in MESSAGES[:5])
    for message in MESSAGES[5:]:
        history.add_message(message)
    assert history.messages == MESSAGES
    history.add_user_message("and")
    history.add_ai_message("so on")
    assert [message.content for message in history.messages[-2:]] == ["and", "so on"]


def test_a_history_is_cleared(history: DjangoChatMessageHistory) -> None:
    """It and no other one, of this or another user."""
    others = [DjangoChatMessageHistory("trip2", "ada"), DjangoChatMessageHistory("trip", "bob")]
    for one in (history, *others):
        one.add_messages([HumanMessage(one.session_id + one.user_id)])
    history.clear()
    assert history.messages == []
    assert [[message.content for message in one.messages] for one in others] == [["trip2ada"], ["tripbob"]]


def test_more_than_five_hundred_messages_and_two_workers(history: DjangoChatMessageHistory) -> None:
    """Nothing is overwritten: neither by the 501st message nor by another worker's object."""
    other = DjangoChatMessageHistory("trip", "ada")
    history.add_messages(HumanMessage(f"message {number}") for number in range(600))
    other.add_messages([HumanMessage("from another worker")])
    history.add_messages([HumanMessage("last")])
    texts = [message.content for message in other.messages]
    assert texts == [*(f"message {number}" for number in range(600)), "from another worker", "last"]
    limited = DjangoChatMessageHistory("trip", "ada", limit=2)
    assert [message.content for message in limited.messages] == ["from another worker", "last"]
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit"):
            DjangoChatMessageHistory("trip", "ada", limit=limit)


def test_adding_is_all_or_nothing(history: DjangoChatMessageHistory) -> None:
    """A message that cannot be stored leaves the history as it was."""
    with pytest.raises(ValidationError):
        history.add_messages([HumanMessage("a"), HumanMessage("x" * 1_100_000)])
    assert history.messages == []


def test_the_async_methods_do_the_same(history: DjangoChatMessageHistory) -> None:
    """On threads."""

    async def use() -> Any:
        await history.aadd_messages(MESSAGES)
        found = await history.aget_messages()
        await history.aclear()
        return found, await history.aget_messages()

    assert async_to_sync(use)() == (MESSAGES, [])


def test_messages_of_others_are_read(history: DjangoChatMessageHistory, make_item: Any) -> None:
    """With role and text; results of tools, and what is no message, are left out."""
    for role, text in (("user", "a"), ("assistant", "b"), ("tool", "c"), ("system", "d"), ("", "e"), ("user", None)):
        make_item(session_id="trip", text_content=text, metadata={"role": role})
    make_item(session_id="trip", text_content="a fact", item_type="fact", metadata={"role": "user"})
    assert history.messages == [HumanMessage("a"), AIMessage("b"), SystemMessage("d")]


def test_what_was_said_is_found(history: DjangoChatMessageHistory) -> None:
    """By the app's search, with its role."""
    history.add_messages([HumanMessage("My favourite dish is risotto"), AIMessage("I will remember that")])
    [best] = MemoryItem.objects.search("favourite dish", user_id="ada", limit=1)
    assert (best.text_content, best.role, best.item_type) == ("My favourite dish is risotto", "user", "message")


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_a_runnable_keeps_its_history() -> None:
    """LangChain's wrapper reads it before and adds to it after each call."""

    def answer(messages: Any) -> AIMessage:
        return AIMessage(f"{len(messages)} messages")

    chain = RunnableWithMessageHistory(
        RunnableLambda(answer), lambda session_id: DjangoChatMessageHistory(session_id, "ada")
    )
    config: Any = {"configurable": {"session_id": "trip"}}
    found = [chain.invoke([HumanMessage(f"turn {turn}")], config).content for turn in range(3)]
    assert found == ["1 messages", "3 messages", "5 messages"]
    assert len(DjangoChatMessageHistory("trip", "ada").messages) == 6


DISHES = ("risotto with saffron", "soup of leeks", "bread with olives", "pasta with tomatoes", "cake of apples")


@pytest.fixture
def dishes() -> None:
    for user_id in ("ada", "bob"):
        for number, dish in enumerate(DISHES):
            values = {"session_id": f"day{number % 2}", "item_type": "fact", "metadata": {"number": number}}
            MemoryItem.objects.create(user_id=user_id, text_content=f"A dish of {user_id} is {dish}", **values)


@pytest.mark.usefixtures("dishes")
class TestLangChainsOwn(RetrieversIntegrationTests):
    """LangChain's tests of retrievers, unmodified."""

    pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory"])

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return DjangoRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"user_id": "ada", "k": 2}

    @property
    def retriever_query_example(self) -> str:
        return "Which dish is of Ada?"


@pytest.mark.usefixtures("dishes")
def test_documents_are_items_of_the_user() -> None:
    """With the item's metadata, restricted by session and type."""
    [best] = DjangoRetriever(user_id="ada", k=1).invoke("saffron")
    assert isinstance(best, Document)
    assert best.page_content == "A dish of ada is risotto with saffron"
    assert best.id == MemoryItem.objects.get(pk=best.id).pk
    assert (best.metadata["number"], best.metadata["user_id"], best.metadata["session_id"]) == (0, "ada", "day0")
    assert 0 < best.metadata["score"] <= 1
    restricted = DjangoRetriever(user_id="ada", k=9, session_id="day1", item_type="fact").invoke("dish")
    assert sorted(one.metadata["number"] for one in restricted) == [1, 3]
    assert DjangoRetriever(user_id="ada", item_type="message").invoke("dish") == []
    assert DjangoRetriever(user_id="carl").invoke("dish") == []
    with pytest.raises(ValueError, match="user_id"):
        DjangoRetriever(user_id="").invoke("dish")


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Results of LangChain's own tests are written down."""
    failed = request.session.testsfailed
    yield
    if request.cls is TestLangChainsOwn:
        has_failed = request.session.testsfailed > failed
        record("langchain-tests", f"retrievers: {request.node.name}", int(not has_failed), int(has_failed), 0)
