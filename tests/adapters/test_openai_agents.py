"""The OpenAI Agents SDK's session: the behaviours of its own sessions' tests, and traps seen in others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
import time_machine
from agents import Agent, Runner
from agents.items import ModelResponse
from agents.memory import Session, SessionSettings, is_openai_responses_compaction_aware_session
from agents.memory.sqlite_session import SQLiteSession
from agents.models.interface import Model
from agents.run import RunConfig
from agents.tool import function_tool
from agents.usage import Usage
from asgiref.sync import async_to_sync
from django.utils import timezone
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from memory.adapters.openai_agents import DjangoSession
from memory.exceptions import ValidationError
from memory.models import MemoryItem, UserSession
from tests.adapters import DATABASE

pytestmark = DATABASE

HELLO: Any = {"role": "user", "content": "Hello, I am Ada"}
ANSWER: Any = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello Ada", "annotations": [], "logprobs": []}],
}
CALL: Any = {
    "type": "function_call",
    "call_id": "c1",
    "name": "look",
    "arguments": '{"rows": [[1, 2], [3]]}',
    "id": "f1",
}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": [[1, 2], ["three"]]}
REASONING: Any = {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "x"}
IMAGE: Any = {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}
EMPTY: Any = {"role": "user", "content": ""}
KINDS = [HELLO, ANSWER, CALL, OUTPUT, REASONING, IMAGE, EMPTY]


@pytest.fixture
def session() -> DjangoSession:
    return DjangoSession("trip", "ada")


def run(function: Any, *args: Any) -> Any:
    """The result of a coroutine function."""
    return async_to_sync(function)(*args)


def said(count: int, start: int = 0) -> list[Any]:
    """Messages with numbers as texts."""
    return [{"role": "user", "content": f"message {number}"} for number in range(start, start + count)]


def test_it_is_a_session(session: DjangoSession) -> None:
    """Of the SDK's protocol."""
    assert isinstance(session, Session)
    assert is_openai_responses_compaction_aware_session(session)
    assert session.session_id == "trip"


def test_items_come_back_as_they_were_added(session: DjangoSession) -> None:
    """Of every kind, in their order; none are added by an empty list."""
    run(session.add_items, [])
    assert run(session.get_items) == []
    run(session.add_items, KINDS)
    run(session.add_items, [HELLO])
    assert run(session.get_items) == [*KINDS, HELLO]


def test_a_limit_gives_the_latest_in_order(session: DjangoSession) -> None:
    """None gives all, 0 and negative limits nothing, larger ones all."""
    run(session.add_items, said(10))
    assert run(session.get_items, 3) == said(3, 7)
    assert run(session.get_items, 10) == run(session.get_items, 11) == run(session.get_items, None) == said(10)
    assert run(session.get_items, 0) == run(session.get_items, -1) == []


def test_the_settings_have_a_default_limit() -> None:
    """Which an explicit one overrides."""
    for settings in (SessionSettings(limit=2), {"limit": 2}):
        session = DjangoSession("trip", "ada", session_settings=settings)
        run(session.clear_session)
        run(session.add_items, said(5))
        assert run(session.get_items) == said(2, 3)
        assert run(session.get_items, 4) == said(4, 1)


def test_the_latest_item_is_popped(session: DjangoSession) -> None:
    """Once each, from the end; None from an empty session."""
    assert run(session.pop_item) is None
    run(session.add_items, KINDS)
    assert [run(session.pop_item) for _ in KINDS] == KINDS[::-1]
    assert run(session.pop_item) is None
    run(session.add_items, [HELLO])
    assert run(session.get_items) == [HELLO]


def test_a_session_is_cleared(session: DjangoSession) -> None:
    """It and no other one, of this or another user."""
    others = [DjangoSession("trip2", "ada"), DjangoSession("trip", "bob"), DjangoSession("tri", "ada")]
    for one in (session, *others):
        run(one.add_items, [HELLO, {"role": "assistant", "content": one.session_id + one.user_id}])
    run(session.clear_session)
    run(session.clear_session)
    assert run(session.get_items) == []
    assert [len(run(one.get_items)) for one in others] == [2, 2, 2]
    assert run(others[1].pop_item)["content"] == "tripbob"
    assert UserSession.objects.count() == 3


def test_adding_is_all_or_nothing(session: DjangoSession) -> None:
    """An item that cannot be stored leaves the session as it was."""
    run(session.add_items, [HELLO])
    for bad, error in (({"role": "user", "content": "x" * 1_100_000}, ValidationError), ({"role": {1}}, TypeError)):
        with pytest.raises(error):
            run(session.add_items, [*said(3), bad])
    assert run(session.get_items) == [HELLO]


def test_items_of_one_instant_keep_their_order(session: DjangoSession) -> None:
    """Also if another process' clock is ahead, or this one's is set back."""
    start = timezone.now()
    other = DjangoSession("trip", "ada")
    with time_machine.travel(start, tick=False) as clock:
        for number in range(5):
            run(session.add_items, said(3, 3 * number))
        clock.move_to(start + timedelta(hours=1))
        run(other.add_items, said(1, 15))
        clock.move_to(start - timedelta(hours=1))
        assert run(session.get_items) == said(16)
        run(session.add_items, said(1, 16))
        run(DjangoSession("trip", "ada").add_items, said(1, 17))
        assert run(session.get_items) == said(18)
        assert run(session.get_items, 4) == said(4, 14)


def test_messages_are_memories(session: DjangoSession, make_item: Any) -> None:
    """Search finds what was said; the session reads what others wrote, and leaves out what is no message."""
    run(session.add_items, [{"role": "user", "content": "My favourite dish is risotto with saffron"}, ANSWER])
    [best, *_] = MemoryItem.objects.search("Which dish is the favourite?", user_id="ada", limit=1)
    assert (best.role, best.session_id, best.item_type) == ("user", "trip", "message")
    assert {item.text_content: item.role for item in MemoryItem.objects.for_user("ada")}["Hello Ada"] == "assistant"
    make_item(session_id="trip", text_content="From elsewhere", metadata={"role": "assistant"})
    make_item(session_id="trip", text_content="A fact", item_type="fact")
    make_item(session_id="trip", text_content="A result", metadata={"role": "tool"})
    assert run(session.get_items)[2:] == [{"role": "assistant", "content": "From elsewhere"}]
    assert run(session.get_items, 3)[-1] == {"role": "assistant", "content": "From elsewhere"}


def test_compaction_replaces_all_or_nothing() -> None:
    """By the result of a function, unless an item was added or removed meanwhile."""
    asked: list[Any] = []

    async def compact(items: list[Any], args: Any) -> list[Any] | None:
        asked.append((len(items), dict(args)))
        if args.get("intrude"):
            await DjangoSession("trip", "ada").add_items(said(1, 100))
        return None if args.get("leave") else [{"role": "system", "content": f"{len(items)} were said"}, items[-1]]

    session = DjangoSession("trip", "ada", compact=compact)
    run(session.add_items, said(20))
    run(session.run_compaction, {"leave": True})
    run(session.run_compaction, {"intrude": True})
    assert run(session.get_items) == [*said(20), *said(1, 100)]
    run(session.run_compaction, None)
    compacted = [{"role": "system", "content": "21 were said"}, *said(1, 100)]
    assert run(session.get_items) == compacted
    run(session.add_items, said(1))
    assert run(session.get_items) == [*compacted, *said(1)]
    assert asked == [(20, {"leave": True}), (20, {"intrude": True}), (21, {})]
    without = DjangoSession("trip", "ada")
    run(without.run_compaction, {"response_id": "x"})
    assert len(run(without.get_items)) == 3


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_concurrent_pops_return_each_item_once() -> None:
    """And concurrent adds lose nothing."""
    asyncio.run(DjangoSession("trip", "ada").add_items(said(4)))
    popped: list[Any] = []

    def work(number: int) -> None:
        session = DjangoSession("trip", "ada")
        asyncio.run(session.add_items(said(2, 10 * number)))
        popped.extend(asyncio.run(session.pop_item()) for _ in range(3))

    threads = [Thread(target=work, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [item["content"] for item in popped]
    assert len(texts) == len(set(texts)) == 12
    assert asyncio.run(DjangoSession("trip", "ada").get_items()) == []


class Scripted(Model):
    """A model that looks something up, then says how many items it was given."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        items = kwargs.get("input", args[1] if len(args) > 1 else [])
        output: Any
        if items[-1].get("type") == "function_call_output":
            text = ResponseOutputText(text=f"I was given {len(items)} items", type="output_text", annotations=[])
            output = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        else:
            output = ResponseFunctionToolCall(
                id="f", call_id=f"call{len(items)}", name="look", arguments="{}", type="function_call"
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@function_tool
def look() -> str:
    """Look something up."""
    return "found"


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
def test_a_runner_keeps_its_conversation() -> None:
    """Over runs with tools, as with the SDK's own session."""
    agent = Agent(name="a", model=Scripted(), tools=[look])
    config = RunConfig(tracing_disabled=True)

    async def talk(session: Any) -> Any:
        for turn in range(3):
            result = await Runner.run(agent, f"turn {turn}", session=session, run_config=config)
        return result.final_output, await session.get_items()

    reference = SQLiteSession("trip")
    mine, theirs = asyncio.run(talk(DjangoSession("trip", "ada"))), asyncio.run(talk(reference))
    reference.close()
    assert mine == theirs
    assert mine[0] == "I was given 11 items"
    assert len(mine[1]) == 12
