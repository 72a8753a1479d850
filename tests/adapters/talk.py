"""A process that holds a conversation through an adapter, with a scripted model, and prints each turn that is done.

    python -m tests.adapters.talk FRAMEWORK DATABASE SESSION TURNS

It goes on where the session ends, as an application does after a crash: a turn that was not finished is finished or
done again. DATABASE is an entry of `DATABASES` as JSON; the framework `migrate` makes its tables.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

USER = "ada"
APP = "guide"
KINDS = ("red", "old", "tiny", "loud", "silver", "wooden", "sleepy", "foreign", "broken", "famous")
THINGS = ("parrot", "violin", "lighthouse", "tractor", "teapot", "glacier", "sculptor", "umbrella", "pumpkin", "anchor")


def question(session: str, turn: int) -> str:
    """What the user says."""
    return f"In {session} I saw a {KINDS[turn % 10]} {THINGS[turn // 10]}"


def answer(said: str) -> str:
    """What the scripted model says."""
    return f"I noted: {said}"


def openai_agents(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """Runs of an agent with a session."""
    from agents import Agent, Runner
    from agents.items import ModelResponse
    from agents.models.interface import Model
    from agents.run import RunConfig
    from agents.usage import Usage
    from openai.types.responses import ResponseOutputMessage, ResponseOutputText

    from memory.adapters.openai_agents import DjangoSession

    class Scripted(Model):
        async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
            items = kwargs.get("input", args[1] if len(args) > 1 else [])
            text = ResponseOutputText(text=answer(items[-1]["content"]), type="output_text", annotations=[])
            output = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
            return ModelResponse(output=[output], usage=Usage(), response_id=None)

        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    async def talk() -> None:
        session: Any = DjangoSession(session_id, USER)
        agent = Agent(name="scripted", model=Scripted())
        items = await session.get_items()
        if items and items[-1]["role"] == "user":
            await session.pop_item()
        for turn in range(len(items) // 2, turns):
            said, config = question(session_id, turn), RunConfig(tracing_disabled=True)
            await Runner.run(agent, said, session=session, run_config=config)
            done(turn)

    asyncio.run(talk())


def adk(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """Runs of an agent with a session service, and a memory to which each turn is added."""
    from google.adk.agents import LlmAgent
    from google.adk.events.event import Event
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.adk.runners import Runner
    from google.genai.types import Content, Part

    from memory.adapters.adk import DjangoMemoryService, DjangoSessionService

    class Scripted(BaseLlm):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
            said = llm_request.contents[-1].parts[-1].text
            yield LlmResponse(content=Content(role="model", parts=[Part(text=answer(said))]))

    async def talk() -> None:
        sessions, memory, place = DjangoSessionService(), DjangoMemoryService(), {"app_name": APP, "user_id": USER}
        agent = LlmAgent(name="scripted", model=Scripted(model="scripted"))
        runner = Runner(app_name=APP, agent=agent, session_service=sessions, memory_service=memory)
        session = await sessions.get_session(**place, session_id=session_id)
        session = session or await sessions.create_session(**place, session_id=session_id)
        if len(session.events) % 2:  # the agent has not answered
            said = Content(role="model", parts=[Part(text=answer(session.events[-1].content.parts[0].text))])  # type: ignore[union-attr, index, arg-type]
            await sessions.append_event(session, Event(author="scripted", content=said))
        for turn in range(len(session.events) // 2, turns):
            said = Content(role="user", parts=[Part(text=question(session_id, turn))])
            async for _ in runner.run_async(user_id=USER, session_id=session_id, new_message=said):
                """The scripted answer."""
            done(turn)
        session = await sessions.get_session(**place, session_id=session_id)
        await memory.add_session_to_memory(session)  # type: ignore[arg-type]

    asyncio.run(talk())


def llama_index(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """A chat store, one message at a time."""
    from llama_index.core.llms import ChatMessage

    from memory.adapters.llama_index import DjangoChatStore

    store = DjangoChatStore(user_id=USER)
    messages = store.get_messages(session_id)
    if len(messages) % 2:
        store.add_message(session_id, ChatMessage(role="assistant", content=answer(str(messages[-1].content))))
    for turn in range(len(messages) // 2 + len(messages) % 2, turns):
        said = question(session_id, turn)
        store.add_message(session_id, ChatMessage(role="user", content=said))
        store.add_message(session_id, ChatMessage(role="assistant", content=answer(said)))
        done(turn)


def crewai(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """A crew of one agent with a memory: each turn recalls what it is asked and remembers what was said."""
    # Without these it reports its use, and asks on the terminal whether to show traces.
    os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TESTING": "true"}
    from crewai import Agent, Crew, Task
    from crewai.llms.base_llm import BaseLLM
    from crewai.memory.unified_memory import Memory

    from memory.adapters.crewai import DjangoStorage

    said = [""]

    class Scripted(BaseLLM):
        def call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            return f"Thought: I know it.\nFinal Answer: {answer(said[0])}"

    storage, scripted = DjangoStorage(USER), Scripted(model="scripted")
    memory = Memory(storage=storage, embedder=storage.embedder, llm=scripted)
    agent = Agent(role="guide", goal="listen", backstory="a guide", llm=scripted, verbose=False)
    about: dict[str, Any] = {"categories": [], "metadata": {}, "importance": 0.5}
    known = {record.metadata["turn"] for record in storage.list_records(f"/{session_id}", limit=2 * turns)}
    for turn in range(turns):
        if turn in known:
            continue
        said[0] = question(session_id, turn)
        task = Task(description=said[0], expected_output="a note", agent=agent)
        output = Crew(agents=[agent], tasks=[task], verbose=False).kickoff()
        text = f"{said[0]}\n{output.raw}"
        memory.remember(text, scope=f"/{session_id}", **{**about, "metadata": {"turn": turn}})
        assert memory.recall(said[0], scope=f"/{session_id}", depth="shallow", limit=1)
        done(turn)


def langchain(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """A history of messages."""
    from langchain_core.messages import AIMessage, HumanMessage

    from memory.adapters.langchain import DjangoChatMessageHistory

    history = DjangoChatMessageHistory(session_id, USER)
    for turn in range(len(history.messages) // 2, turns):
        said = question(session_id, turn)
        history.add_messages([HumanMessage(said), AIMessage(answer(said))])
        done(turn)


def pydantic_ai(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """Runs of an agent, each saved with its conversation."""
    from pydantic_ai import Agent
    from pydantic_ai.conversation import Conversation
    from pydantic_ai.messages import ModelResponse, TextPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.usage import UsageLimits

    from memory.adapters.pydantic_ai import DjangoConversationStore

    def respond(messages: Any, info: Any) -> ModelResponse:
        return ModelResponse([TextPart(answer(messages[-1].parts[0].content))])

    async def talk() -> None:
        store, agent = DjangoConversationStore(USER), Agent(FunctionModel(respond))
        endless = UsageLimits(request_limit=None)  # the default is 50 in all runs of a conversation
        conversation = await store.load(session_id) or Conversation(conversation_id=session_id)
        for turn in range(len(conversation.messages) // 2, turns):
            result = await agent.run(question(session_id, turn), conversation=conversation, usage_limits=endless)
            await store.save(result)
            conversation = result.conversation
            done(turn)

    asyncio.run(talk())


def langgraph(session_id: str, turns: int, done: Callable[[int], None]) -> None:
    """A graph with a checkpointer and a store."""
    graph, config = graph_of(), {"configurable": {"thread_id": session_id}}
    state = graph.get_state(config)
    if state.next:
        graph.invoke(None, config)
    for turn in range(len(graph.get_state(config).values.get("log", ())) // 2, turns):
        graph.invoke({"log": [question(session_id, turn)]}, config)
        done(turn)


def graph_of(using: str | None = None) -> Any:
    """A graph of two nodes: one remembers what was said, one answers."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import END, START, StateGraph

    from memory.adapters.langgraph import DjangoSaver, DjangoStore

    store = DjangoStore(USER, using=using)

    def remember(state: Any) -> dict[str, Any]:
        store.put(("said",), state["log"][-1], {"text": state["log"][-1]})
        return {}

    builder = StateGraph(TypedDict("State", {"log": Annotated[list[str], operator.add]}))  # type: ignore[misc]
    builder.add_node("remember", remember)
    builder.add_node("respond", lambda state: {"log": [answer(state["log"][-1])]})
    builder.add_edge(START, "remember")
    builder.add_edge("remember", "respond")
    builder.add_edge("respond", END)
    return builder.compile(checkpointer=DjangoSaver(USER, using=using))


def main(framework: str, database: str, session_id: str, turns: str) -> None:
    """Run a conversation."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory"],
        DATABASES={"default": json.loads(database)},
        MEMORY={"CACHE": None},
        USE_TZ=True,
    )
    django.setup()
    if framework == "migrate":
        call_command("migrate", verbosity=0)
    else:
        globals()[framework](session_id, int(turns), lambda turn: print(turn, flush=True))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
