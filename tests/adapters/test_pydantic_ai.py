"""PydanticAI's conversation store: it behaves as the framework's own in memory, and traps seen in others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from pydantic_ai import Agent, BinaryImage, ToolReturnPart, UserError
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from memory.adapters.pydantic_ai import DjangoConversationStore
from memory.adapters.pydantic_ai.lines import Node, line_of
from memory.exceptions import ValidationError
from memory.models import MemoryItem, UserSession
from tests.adapters import DATABASE

pytestmark = DATABASE

CALL = ToolCallPart("look", {"rows": [[1, 2], [3]]}, tool_call_id="c1")
KINDS: list[ModelMessage] = [
    ModelRequest([SystemPromptPart("Be kind"), UserPromptPart("Hello, I am Ada")]),
    ModelResponse([ThinkingPart("hm"), TextPart("Hello Ada")], model_name="scripted"),
    ModelRequest([UserPromptPart(["What is it?", BinaryImage(b"\x89PNG\x00", media_type="image/png")])]),
    ModelResponse([CALL]),
    ModelRequest([ToolReturnPart("look", [["a"], ["b", 1.5]], tool_call_id="c1")]),
    ModelRequest([ToolReturnPart("look", "once more", tool_call_id="c2", outcome="retried")]),
    ModelResponse([TextPart("")]),
]


@pytest.fixture
def store() -> DjangoConversationStore:
    return DjangoConversationStore("ada")


def run(function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """The result of a coroutine function."""
    return async_to_sync(function)(*args, **kwargs)


def said(text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)])


def answered(text: str) -> ModelMessage:
    return ModelResponse([TextPart(text)])


def texts(found: Conversation | list[ConversationEntry] | None) -> list[str]:
    messages = found.messages if isinstance(found, Conversation) else [entry.message for entry in found or []]
    return [str(getattr(message.parts[-1], "content", "")) for message in messages]


def saved(store: ConversationStore, *words: str, name: str = "trip", scope: str | None = None) -> Conversation:
    """A conversation with messages added to what is stored."""
    conversation = run(store.load, name) or Conversation(conversation_id=name)
    conversation.messages += [said(word) for word in words]
    run(store.save, conversation, scope=scope)
    return conversation


def test_messages_come_back_as_they_were_saved(store: DjangoConversationStore) -> None:
    """Of every kind, with what the record has beside them."""
    waits = DeferredToolRequests(approvals=[CALL], metadata={"c1": {"why": "dear"}})
    conversation = Conversation(
        messages=list(KINDS), usage=RunUsage(requests=2, input_tokens=7), conversation_id="trip"
    )
    conversation.deferred_tool_requests = waits
    entries = run(store.save, conversation, scope="kitchen")
    found = run(DjangoConversationStore("ada").load, "trip", scope="kitchen")
    assert found == conversation
    assert found.messages == KINDS
    assert run(store.load_entries, "trip") == entries
    assert run(store.load, "trip", scope="cellar") is None
    assert run(store.read_entry, entries[3].id) == entries[3]
    with pytest.raises(LookupError):
        run(store.read_entry, "none")
    with pytest.raises(LookupError):
        run(store.read_history, "none")
    empty = Conversation(conversation_id="empty")
    assert run(store.save, empty) == []
    assert run(store.load, "empty") == empty
    assert run(store.load, "unknown") is None


def test_messages_are_memories(store: DjangoConversationStore, make_item: Any) -> None:
    """With the role and the text of each; search finds what was said."""
    run(store.save, Conversation(messages=[*KINDS, said("My favourite dish is risotto")], conversation_id="trip"))
    items = MemoryItem.objects.for_user("ada").in_session("trip").newest_first()
    assert [(item.role, item.text_content) for item in items][::-1] == [
        ("user", "Hello, I am Ada"),
        ("assistant", "Hello Ada"),
        ("user", "What is it?"),
        ("assistant", None),
        ("tool", None),
        ("tool", "once more"),
        ("assistant", None),
        ("user", "My favourite dish is risotto"),
    ]
    [best] = MemoryItem.objects.search("Which dish is the favourite?", user_id="ada", limit=1)
    assert best.text_content == "My favourite dish is risotto"


def everything(store: ConversationStore) -> list[Any]:
    """What a sequence of calls returns: windows, rewritten histories, branches, forks, conflicts and deletions."""
    found: list[Any] = []

    def note(value: Any) -> None:
        found.append(texts(value) if isinstance(value, Conversation | list) else value)

    def refused(error: type[Exception], function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> None:
        with pytest.raises(error):
            run(function, *args, **kwargs)

    first = saved(store, "a", "b", "c", "d")
    stale = run(store.load, "trip")
    saved(store, "e")
    refused(ConversationConflict, store.save, stale)
    refused(ConversationConflict, store.save, Conversation(conversation_id="trip"))
    for limit in (0, 1, 3, 5, 9, None):
        note(run(store.load, "trip", limit=limit))
    refused(UserError, store.load, "trip", limit=-1)

    window = run(store.load, "trip", limit=2)
    window.messages.append(said("f"))
    run(store.save, window)
    note(run(store.load, "trip"))

    rewritten = run(store.load, "trip")
    copy = Conversation(
        messages=[*rewritten.messages[:2], said("x"), said("y")], conversation_id="trip", revision=rewritten.revision
    )
    run(store.save, copy)
    note(run(store.load, "trip"))
    [left] = run(store.read_record, "trip").branches
    note(run(store.read_history, left))
    note(run(store.read_history, left, limit=2))

    refused(ConversationConflict, store.branch, "trip", at=1, expected_revision=first.revision)
    refused(UserError, store.branch, "trip", at=9, expected_revision=copy.revision)
    branched = run(store.branch, "trip", from_entry=left, expected_revision=copy.revision)
    note(branched)
    branched.messages.append(said("g"))
    run(store.save, branched)
    back = run(store.branch, "trip", at=1, expected_revision=branched.revision)
    note(back)
    note(run(store.load, "trip"))
    back.messages.append(said("h"))
    run(store.save, back)
    note(run(store.load, "trip"))
    found.append(len(run(store.read_record, "trip").branches))

    fork = run(store.fork, "trip", new_conversation_id="other", scope="cellar")
    note(fork)
    fork.messages.append(said("i"))
    run(store.save, fork)
    refused(ConversationConflict, store.fork, "trip", new_conversation_id="other")
    refused(UserError, store.fork, "trip", source_scope="cellar")
    note(run(store.fork, "trip", at=1, new_conversation_id="third"))
    note(run(store.fork, "trip", from_entry=left, new_conversation_id="fourth"))
    note(run(store.fork, "other", new_conversation_id="fifth"))
    note(run(store.load, "trip"))
    found.append([record.conversation_id for record in run(store.list_conversations)])
    found.append([record.conversation_id for record in run(store.list_conversations, scope="cellar", limit=1)])
    found.append(run(store.read_record, "fifth").forked_from)

    run(store.delete, "trip", scope="cellar")
    note(run(store.load, "trip"))
    run(store.delete, "trip")
    run(store.delete, "trip")
    found.append(run(store.load, "trip"))
    for name in ("other", "third", "fourth", "fifth"):
        note(run(store.load, name))
    refused(ConversationConflict, store.save, back)
    refused(ConversationConflict, store.delete_record, "other", expected_revision="none")
    record = ConversationRecord(conversation_id="new", head_id="none", forked_from="trip")
    refused(ConversationConflict, store.write_record, record, expected_revision=None)
    again = saved(store, "z")
    note(again)
    note(run(store.load, "trip"))
    return found


def test_it_behaves_as_the_store_in_memory(store: DjangoConversationStore) -> None:
    """With windows, rewritten histories, branches, forks, conflicts and deletions."""
    assert everything(store) == everything(InMemoryConversationStore())


def test_deleting_a_conversation_deletes_all_of_its_messages(store: DjangoConversationStore) -> None:
    """Those of branches too, and none of its forks, of others or of another user."""
    conversation = saved(store, "a", "b")
    back = run(store.branch, "trip", at=1, expected_revision=conversation.revision)
    back.messages.append(said("c"))
    run(store.save, back)
    run(store.fork, "trip", new_conversation_id="fork")
    saved(store, "d", name="trip2")
    saved(DjangoConversationStore("bob"), "e")
    run(store.delete, "trip")
    left = MemoryItem.all_objects.order_by().values_list("user_id", "session_id", "text_content")
    assert sorted(left) == [("ada", "fork", "a"), ("ada", "fork", "c"), ("ada", "trip2", "d"), ("bob", "trip", "e")]
    assert texts(run(store.load, "fork")) == ["a", "c"]


def test_saving_is_all_or_nothing(store: DjangoConversationStore) -> None:
    """A message that cannot be stored leaves the conversation as it was."""
    conversation = saved(store, "a")
    conversation.messages += [said("b"), said("x" * 1_100_000)]
    with pytest.raises(ValidationError):
        run(store.save, conversation)
    assert texts(run(store.load, "trip")) == ["a"]
    with pytest.raises(ValidationError):
        run(store.save, Conversation(conversation_id=""))


def test_others_messages_are_read(store: DjangoConversationStore, make_item: Any) -> None:
    """Those of a session that others wrote, and of one that they continued, but none of tools or without text."""

    def others(text: str | None, role: str, **more: Any) -> None:
        make_item(session_id="trip", text_content=text, metadata={"role": role}, **more)

    others("From elsewhere", "user")
    others("An answer", "assistant")
    others("A result", "tool")
    others(None, "user", embedding=None)
    others("A fact", "user", item_type="fact")
    found = run(store.load, "trip")
    assert texts(found) == ["From elsewhere", "An answer"]
    assert [message.kind for message in found.messages] == ["request", "response"]
    assert run(store.list_conversations) == []
    assert texts(run(store.load, "trip", limit=1)) == ["An answer"]
    found.messages.append(said("mine"))
    run(store.save, found)
    others("later", "assistant")
    assert texts(run(store.load, "trip")) == ["From elsewhere", "An answer", "mine", "later"]
    assert texts(run(store.load, "trip", limit=3)) == ["An answer", "mine", "later"]
    saved(store, "more")
    assert texts(run(store.load, "trip")) == ["From elsewhere", "An answer", "mine", "later", "more"]
    assert texts(run(store.fork, "trip", new_conversation_id="fork")) == texts(run(store.load, "trip"))
    assert texts(run(DjangoConversationStore("ada").load, "fork")) == texts(run(store.load, "trip"))
    run(store.delete, "trip")
    assert run(store.load, "trip") is None


def test_a_message_may_be_gone(store: DjangoConversationStore) -> None:
    """Deleted by the admin, the API or a policy: the others stay a conversation that goes on."""
    saved(store, "a", "b", "c", "d")
    for word, left in (("b", ["a", "c", "d"]), ("d", ["a", "c"]), ("a", ["c"])):
        items = MemoryItem.objects.for_user("ada").in_session("trip").newest_first()
        MemoryItem.objects.filter(pk=next(item.pk for item in items if item.text_content == word)).delete()
        assert texts(run(store.load, "trip")) == left
    saved(store, "e")
    assert texts(run(store.load, "trip")) == ["c", "e"]


def test_lines() -> None:
    """A parent that is gone is skipped for the last entry above it, whatever branches were written between."""
    nodes = [Node("a", None, 0), Node("b", "a", 1), Node("c", "b", 2), Node("o"), Node("e", "d", 2)]
    names = [[nodes[index].id for index in line_of(nodes, head)] for head in ("c", "e", "b", "a", "gone", None)]
    assert names == [["a", "b", "c", "o"], ["a", "e"], ["a", "b"], ["a"], ["a", "e"], []]
    assert line_of([], "a") == []
    assert [nodes[index].id for index in line_of(nodes, "o")] == ["a", "b", "c", "o"]


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_of_concurrent_savers_one_wins() -> None:
    """The others get a conflict, and lose nothing when they load and save again."""
    asyncio.run(DjangoConversationStore("ada").save(Conversation(conversation_id="trip")))
    conflicts: list[int] = []

    async def add(number: int) -> None:
        store = DjangoConversationStore("ada")
        for turn in range(3):
            while True:
                conversation = await store.load("trip")
                assert conversation is not None
                conversation.messages.append(said(f"{number}.{turn}"))
                try:
                    await store.save(conversation)
                    break
                except ConversationConflict:
                    conflicts.append(number)

    threads = [Thread(target=asyncio.run, args=(add(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = texts(asyncio.run(DjangoConversationStore("ada").load("trip")))
    assert sorted(found) == sorted(f"{number}.{turn}" for number in range(3) for turn in range(3))
    assert UserSession.objects.count() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_an_agent_keeps_its_conversation() -> None:
    """Over runs with tools, as with the framework's own store."""

    def respond(messages: list[ModelMessage], info: Any) -> ModelResponse:
        if isinstance(messages[-1].parts[-1], ToolReturnPart):
            return ModelResponse([TextPart(f"I was given {len(messages)} messages")])
        return ModelResponse([ToolCallPart("look", {}, tool_call_id=f"c{len(messages)}")])

    agent = Agent(FunctionModel(respond))

    @agent.tool_plain
    def look() -> str:
        return "found"

    async def talk(store: ConversationStore) -> Any:
        output = ""
        for turn in range(3):
            conversation = await store.load("trip") or Conversation(conversation_id="trip")
            result = await agent.run(f"turn {turn}", conversation=conversation)
            await store.save(result)
            output = result.output
        loaded = await store.load("trip")
        assert loaded is not None
        return output, texts(loaded), loaded.usage.requests

    mine, theirs = asyncio.run(talk(DjangoConversationStore("ada"))), asyncio.run(talk(InMemoryConversationStore()))
    assert mine[0] == theirs[0] == "I was given 11 messages"
    assert mine[2] == theirs[2] == 6
    assert len(mine[1]) == len(theirs[1]) == 12
