"""Two users through every adapter: no method reads, changes or deletes anything of the other.

The adapters and their methods are enumerated, so a new one without a call here fails.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import serializers
from django.db.models import Model

from memory.lifecycle import erasure
from memory.models import AgentCheckpoint, AgentData, AgentPart, AgentWrites, MemoryItem, UserSession
from memory.tombstones import tombstones
from tests.adapters import ADAPTERS, is_installed

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "memory"])  # as an erasure needs

SECRET = "zanzibar"  # in everything of the other user
MODELS: tuple[type[Model], ...] = (MemoryItem, UserSession, AgentData, AgentCheckpoint, AgentWrites, AgentPart)
Calls = dict[str, Callable[[Any], Any]]


def adapters() -> Iterator[type[Any]]:
    """The public classes of all adapters whose frameworks are installed."""
    for name, framework in ADAPTERS.items():
        if is_installed(framework):
            module = importlib.import_module(f"memory.adapters.{name}")
            yield from (getattr(module, public) for public in module.__all__)


def methods_of(adapter: type[Any]) -> set[str]:
    """Its public methods that reach data: those that it or a base of its framework defines for that."""
    ignored = IGNORED.get(adapter.__name__, set()) | {"call", "acall", "alias"}
    own = {name for one in adapter.__mro__ if one.__module__.startswith("memory.") for name in vars(one)}
    return {
        name
        for name in own
        if not name.startswith("_") and name not in ignored and not isinstance(vars(adapter).get(name), str | bool)
    }


def make(name: str, user: str) -> Any:
    """An adapter of a user. ADK's services get the user with each call."""
    [adapter] = [one for one in adapters() if one.__name__ == name]
    return MAKERS.get(name, lambda adapter, user: adapter(user))(adapter, user)


def stored(user: str) -> set[str]:
    """All rows of a user, as text. The time of a write is no part of it."""
    rows = [row for model in MODELS if hasattr(model, "user_id") for row in model._base_manager.filter(user_id=user)]
    return {json.dumps(json.loads(serializers.serialize("json", [row])), sort_keys=True) for row in rows}


def spelled(value: Any) -> str:
    """All of a result as text."""
    if inspect.isgenerator(value):
        value = list(value)
    return repr(value)


async def listed(items: Any) -> list[Any]:
    """All of an async iterator."""
    return [item async for item in items]


# What each method is called with: names, ids and questions that are those of the other user's data.
def _langgraph_store() -> Calls:
    place, question = ("notes",), {"query": SECRET}
    from langgraph.store.base import GetOp, SearchOp

    return {
        "batch": lambda one: one.batch([GetOp(place, "k"), SearchOp((), query=SECRET)]),
        "abatch": lambda one: one.abatch([GetOp(place, "k"), SearchOp((), **question)]),
        "delete": lambda one: one.delete(place, "k"),
        "search": lambda one: one.search((), query=SECRET),
        "list_namespaces": lambda one: one.list_namespaces(),
        "put": lambda one: one.put(place, "k", {"text": "mine"}),
    }


def _thread(**more: Any) -> Any:
    return {"configurable": {"thread_id": "trip", "checkpoint_ns": "", **more}}


def _langgraph_saver() -> Calls:
    from langgraph.checkpoint.base import empty_checkpoint

    at = _thread(checkpoint_id="c1")
    put = (_thread(), {**empty_checkpoint(), "id": "c1"}, {"source": "loop", "step": 1, "run_id": "r"}, {})
    history = {"config": at, "channels": ["x"]}
    return {
        "get_tuple": lambda one: one.get_tuple(at),
        "aget_tuple": lambda one: one.aget_tuple(_thread()),
        "list": lambda one: list(one.list(None)),
        "alist": lambda one: listed(one.alist(_thread())),
        "get_delta_channel_history": lambda one: one.get_delta_channel_history(**history),
        "aget_delta_channel_history": lambda one: one.aget_delta_channel_history(**history),
        "copy_thread": lambda one: one.copy_thread("trip", "copy"),
        "acopy_thread": lambda one: one.acopy_thread("trip", "copy"),
        "delete_for_runs": lambda one: one.delete_for_runs(["r"]),
        "adelete_for_runs": lambda one: one.adelete_for_runs(["r"]),
        "prune": lambda one: one.prune(["trip"], strategy="delete"),
        "aprune": lambda one: one.aprune(["trip"]),
        "put_writes": lambda one: one.put_writes(at, [("x", 1)], "task"),
        "aput_writes": lambda one: one.aput_writes(at, [("x", 1)], "task"),
        "put": lambda one: one.put(*put),
        "aput": lambda one: one.aput(*put),
        "delete_thread": lambda one: one.delete_thread("trip"),
        "adelete_thread": lambda one: one.adelete_thread("trip"),
    }


def _openai() -> Calls:
    mine: Any = [{"role": "user", "content": "mine"}]
    return {
        "get_items": lambda one: one.get_items(),
        "pop_item": lambda one: one.pop_item(),
        "run_compaction": lambda one: one.run_compaction({}),
        "add_items": lambda one: one.add_items(mine),
        "clear_session": lambda one: one.clear_session(),
    }


def _langchain_history() -> Calls:
    from langchain_core.messages import HumanMessage

    return {
        "messages": lambda one: one.messages,
        "aget_messages": lambda one: one.aget_messages(),
        "add_messages": lambda one: one.add_messages([HumanMessage("mine")]),
        "aadd_messages": lambda one: one.aadd_messages([HumanMessage("mine")]),
        "clear": lambda one: one.clear(),
        "aclear": lambda one: one.aclear(),
    }


def _langchain_retriever() -> Calls:
    return {"invoke": lambda one: one.invoke(SECRET), "ainvoke": lambda one: one.ainvoke(SECRET)}


def _adk_sessions() -> Calls:
    from google.adk.events.event import Event
    from google.adk.sessions.session import Session

    def place(one: Any) -> dict[str, str]:
        return {"app_name": "guide", "user_id": one.user}

    async def append(one: Any) -> Any:
        await one.create_session(**place(one), session_id="mine")
        session = Session(id="mine", app_name="guide", user_id=one.user)
        return await one.append_event(session, Event(author="user", state={"user:x": 1}))

    return {
        "get_session": lambda one: one.get_session(**place(one), session_id="trip"),
        "list_sessions": lambda one: one.list_sessions(**place(one)),
        "get_user_state": lambda one: one.get_user_state(**place(one)),
        "append_event": append,
        "delete_session": lambda one: one.delete_session(**place(one), session_id="trip"),
        "create_session": lambda one: one.create_session(**place(one), session_id="trip"),
    }


def _adk_memory() -> Calls:
    from google.adk.events.event import Event
    from google.adk.memory.memory_entry import MemoryEntry
    from google.adk.sessions.session import Session
    from google.genai.types import Content, Part

    content = Content(parts=[Part(text="mine")])

    def place(one: Any) -> dict[str, str]:
        return {"app_name": "guide", "user_id": one.user}

    def delete_all(one: Any) -> Any:
        pk = MemoryItem.objects.filter(user_id="bob", item_type="memory").first()
        return one.delete_memory(**place(one), memory_id="none" if pk is None else pk.pk)

    events = [Event(author="user", content=content)]
    return {
        "search_memory": lambda one: one.search_memory(**place(one), query=SECRET),
        "delete_memory": delete_all,
        "add_memory": lambda one: one.add_memory(**place(one), memories=[MemoryEntry(content=content)]),
        "add_events_to_memory": lambda one: one.add_events_to_memory(**place(one), events=events, session_id="trip"),
        "add_session_to_memory": lambda one: one.add_session_to_memory(
            Session(id="trip", app_name="guide", user_id=one.user, events=events)
        ),
    }


def _llama_index() -> Calls:
    from llama_index.core.llms import ChatMessage

    mine = ChatMessage(role="user", content="mine")
    return {
        "get_messages": lambda one: one.get_messages("trip"),
        "aget_messages": lambda one: one.aget_messages("trip"),
        "get_keys": lambda one: one.get_keys(),
        "aget_keys": lambda one: one.aget_keys(),
        "delete_message": lambda one: one.delete_message("trip", 0),
        "adelete_message": lambda one: one.adelete_message("trip", 0),
        "delete_last_message": lambda one: one.delete_last_message("trip"),
        "adelete_last_message": lambda one: one.adelete_last_message("trip"),
        "add_message": lambda one: one.add_message("trip", mine),
        "async_add_message": lambda one: one.async_add_message("trip", mine),
        "set_messages": lambda one: one.set_messages("trip", [mine]),
        "aset_messages": lambda one: one.aset_messages("trip", [mine]),
        "delete_messages": lambda one: one.delete_messages("trip"),
        "adelete_messages": lambda one: one.adelete_messages("trip"),
    }


def _pydantic_ai() -> Calls:
    from pydantic_ai.conversation import Conversation
    from pydantic_ai.conversation_store import ConversationConflict, ConversationRecord

    forked = ConversationRecord(conversation_id="forked", head_id="bobs", forked_from="chat")

    async def write(one: Any) -> None:
        with pytest.raises(ConversationConflict):
            await one.write_record(forked, expected_revision=None)
        await one.write_record(**_said("own", "mine"), expected_revision=None)

    async def branch(one: Any) -> Any:
        found = await one.load("chat")
        return await one.branch("chat", at=0, expected_revision=found.revision)

    return {
        "read_record": lambda one: one.read_record("chat"),
        "read_records": lambda one: one.read_records(scope=SECRET),
        "read_history": lambda one: refused(LookupError, one.read_history("bobs")),
        "read_entry": lambda one: refused(LookupError, one.read_entry("bobs")),
        "write_record": write,
        "delete_record": lambda one: one.delete_record("own", expected_revision="r"),
        "load": lambda one: one.load("chat"),
        "load_entries": lambda one: one.load_entries("trip"),
        "list_conversations": lambda one: one.list_conversations(),
        "save": lambda one: one.save(Conversation(conversation_id="chat")),
        "branch": branch,
        "fork": lambda one: one.fork("chat", new_conversation_id="fork"),
        "delete": lambda one: one.delete("chat"),
    }


def _said(conversation_id: str, text: str, entry: str = "mine") -> dict[str, Any]:
    """What `write_record` stores of a conversation with one message."""
    from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    about = {"conversation_id": conversation_id, "head_id": entry, "revision": "r", "scope": text}
    message = ModelRequest([UserPromptPart(text)])
    return {
        "record": ConversationRecord(**about),
        "new_entries": [ConversationEntry(id=entry, parent_id=None, message=message)],
    }


async def refused(error: type[Exception], awaitable: Any) -> None:
    """A call that finds nothing."""
    with pytest.raises(error):
        await awaitable


def _crewai() -> Calls:
    from crewai.memory.types import MemoryRecord

    mine = MemoryRecord(id="r", content="mine", scope="/trip", embedding=[1.0, 0.0])

    return {
        "search": lambda one: one.search(one.embedder([SECRET])[0]),
        "asearch": lambda one: one.asearch(one.embedder([SECRET])[0], scope_prefix="/trip"),
        "get_record": lambda one: one.get_record("r"),
        "list_records": lambda one: one.list_records("/"),
        "get_scope_info": lambda one: one.get_scope_info("/"),
        "list_scopes": lambda one: one.list_scopes(),
        "list_categories": lambda one: one.list_categories(),
        "count": lambda one: one.count(),
        "delete": lambda one: one.delete(record_ids=["r"]),
        "adelete": lambda one: one.adelete(categories=[SECRET]),
        "update": lambda one: one.update(mine),
        "save": lambda one: one.save([mine]),
        "asave": lambda one: one.asave([mine]),
        "reset": lambda one: one.reset(),
    }


CALLS: dict[str, Callable[[], Calls]] = {
    "DjangoStore": _langgraph_store,
    "DjangoSaver": _langgraph_saver,
    "DjangoSession": _openai,
    "DjangoChatMessageHistory": _langchain_history,
    "DjangoRetriever": _langchain_retriever,
    "DjangoSessionService": _adk_sessions,
    "DjangoMemoryService": _adk_memory,
    "DjangoChatStore": _llama_index,
    "DjangoStorage": _crewai,
    "DjangoConversationStore": _pydantic_ai,
}
# After the others: from then on writes of the user are refused.
ERASING: Calls = {"erase_user": lambda one: one.erase_user(), "aerase_user": lambda one: one.aerase_user()}
ERASING_ANY: Calls = {"erase_user": lambda one: one.erase_user(user_id=one.user)}
INHERITED = {
    "DjangoStore": {"delete", "search", "list_namespaces", "put"},
    "DjangoRetriever": {"invoke", "ainvoke"},
    "DjangoConversationStore": {"load", "load_entries", "list_conversations", "save", "branch", "fork", "delete"},
}
IGNORED = {
    "DjangoStore": {"supports_ttl"},
    "DjangoChatStore": {"class_name", "model_post_init", "model_config", "model_fields", "model_computed_fields"},
    "DjangoRetriever": {"model_config", "model_fields", "model_post_init"},
}


def calls_of(name: str) -> Calls:
    """The calls of an adapter's methods."""
    return {**CALLS[name](), **(ERASING_ANY if name.endswith("Service") else ERASING)}


def _of_user(adapter: Any, user: str) -> Any:
    found = adapter()
    found.user = user
    return found


MAKERS: dict[str, Callable[[Any, str], Any]] = {
    "DjangoSession": lambda adapter, user: adapter("trip", user),
    "DjangoChatMessageHistory": lambda adapter, user: adapter("trip", user),
    "DjangoRetriever": lambda adapter, user: adapter(user_id=user),
    "DjangoChatStore": lambda adapter, user: adapter(user_id=user),
    "DjangoSessionService": _of_user,
    "DjangoMemoryService": _of_user,
}


def done(result: Any) -> Any:
    """The result of a call, awaited if it has to be."""
    if inspect.isawaitable(result):

        async def awaited() -> Any:
            return await result

        return async_to_sync(awaited)()
    return result


@pytest.fixture(autouse=True)
def quick_erasures(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An erasure does not wait for writes that are under way."""
    settings.MEMORY = {**settings.MEMORY, "ERASURE_CHECK": 0.0}
    monkeypatch.setattr(erasure, "settle_seconds", lambda using: 0.0)
    tombstones.clear()
    yield
    tombstones.clear()


@pytest.fixture
def other(make_item: Any) -> set[str]:
    """What the other user has: in the same sessions, threads, namespaces, apps and keys, through every adapter."""
    make_item(user_id="bob", session_id="trip", text_content=f"Secret {SECRET}", metadata={"role": "user"})
    if is_installed("langgraph"):
        store, saver = make("DjangoStore", "bob"), make("DjangoSaver", "bob")
        store.put(("notes",), "k", {"text": SECRET})
        store.put((SECRET,), "k", {"text": SECRET})
        from langgraph.checkpoint.base import empty_checkpoint

        checkpoint: Any = {**empty_checkpoint(), "id": "c1", "channel_values": {"x": SECRET}}
        config = saver.put(_thread(), checkpoint, {"source": "loop", "step": 1, "run_id": "r"}, {"x": 1})
        saver.put_writes(config, [("x", SECRET * 200_000)], "task")
    if is_installed("google.adk"):
        from google.adk.events.event import Event
        from google.genai.types import Content, Part

        event = Event(author="user", content=Content(parts=[Part(text=SECRET)]), state={"user:x": SECRET, "s": SECRET})
        sessions, place = make("DjangoSessionService", "bob"), {"app_name": "guide", "user_id": "bob"}
        session = async_to_sync(sessions.create_session)(**place, session_id="trip", state={"user:y": SECRET})
        async_to_sync(sessions.append_event)(session, event)
        async_to_sync(make("DjangoMemoryService", "bob").add_session_to_memory)(session)
    if is_installed("pydantic_ai"):
        write = make("DjangoConversationStore", "bob").write_record
        async_to_sync(write)(**_said("chat", SECRET, "bobs"), expected_revision=None)
    if is_installed("crewai"):
        from crewai.memory.types import MemoryRecord

        about = {"scope": f"/trip/{SECRET}", "categories": [SECRET], "embedding": [1.0, 0.0]}
        make("DjangoStorage", "bob").save([MemoryRecord(id="r", content=SECRET, **about)])
    return stored("bob")


@pytest.mark.parametrize("name", [adapter.__name__ for adapter in adapters()])
def test_every_method_is_called(name: str) -> None:
    """Each that an adapter defines has a call here."""
    [adapter] = [one for one in adapters() if one.__name__ == name]
    assert methods_of(adapter) | INHERITED.get(name, set()) == set(calls_of(name))


@pytest.mark.parametrize("name", [adapter.__name__ for adapter in adapters()])
def test_the_other_user_is_out_of_reach(name: str, other: set[str]) -> None:
    """Every method, called with the other's names and words: none returns a byte of the other, or changes one."""
    assert any(SECRET in row for row in other)
    mine = make(name, "ada")
    for method, call in calls_of(name).items():
        result = done(call(mine))
        assert SECRET not in spelled(result), method
        assert stored("bob") == other, method
    assert stored("ada") == set()
