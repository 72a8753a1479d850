"""LangGraph's checkpointer over the app's database: traps seen in others, large values, runs of real graphs."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import ERROR, INTERRUPT, BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from memory.adapters.langgraph import DjangoSaver
from memory.adapters.langgraph.frames import PART_BYTES, Frame, frames_of, joined, split
from memory.exceptions import ValidationError
from memory.limits import MAX_DOCUMENT_BYTES
from memory.models import AgentCheckpoint, AgentPart, AgentWrites
from tests.adapters import DATABASE

pytestmark = DATABASE


@pytest.fixture
def saver() -> DjangoSaver:
    return DjangoSaver("ada")


def at(thread_id: Any, checkpoint_id: str | None = None, namespace: str = "") -> Any:
    """A config."""
    found = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": found if checkpoint_id is None else {**found, "checkpoint_id": checkpoint_id}}


def put(saver: BaseCheckpointSaver[Any], config: Any, values: dict[str, Any] | None = None, **metadata: Any) -> Any:
    """Store a checkpoint with these values; return its config."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values or {}
    checkpoint["channel_versions"] = dict.fromkeys(checkpoint["channel_values"], 1)
    about: Any = {"source": "loop", "step": 1, "parents": {}, **metadata}
    return saver.put(config, checkpoint, about, checkpoint["channel_versions"])


def writes_of(saver: BaseCheckpointSaver[Any], config: Any) -> Any:
    """The pending writes of a checkpoint."""
    found = saver.get_tuple(config)
    assert found is not None
    return found.pending_writes


def test_writes_are_in_the_order_of_path_task_and_index(saver: DjangoSaver) -> None:
    """Numbers by value, not as strings: 0, 1, 2, 10, 11."""
    reference = InMemorySaver()
    many = [(f"channel{i}", i) for i in range(12)]
    found = []
    for one in (saver, reference):
        config = put(one, at("trip"))
        one.put_writes(config, [("z", "second")], "a-task", "~2")
        one.put_writes(config, many, "b-task", "~1")
        one.put_writes(config, [("first", 1)], "c-task", "")
        found.append(writes_of(one, config))
    assert found[0] == found[1]
    assert [value for _, channel, value in found[0] if channel.startswith("channel")] == list(range(12))


def test_of_writes_that_are_put_twice_the_first_stay(saver: DjangoSaver) -> None:
    """And special ones are replaced, as in the in-memory reference; later writes of a task are added."""
    reference = InMemorySaver()
    found = []
    for one in (saver, reference):
        config = put(one, at("trip"))
        one.put_writes(config, [("a", "first")], "task")
        one.put_writes(config, [("a", "second"), ("b", "added")], "task")
        one.put_writes(config, [(ERROR, "old"), (INTERRUPT, "stays")], "task")
        one.put_writes(config, [(ERROR, "new")], "task")
        one.put_writes(config, [], "task")
        found.append(writes_of(one, config))
    assert found[0] == found[1]
    assert {channel: value for _, channel, value in found[0]} == {
        "a": "first",
        "b": "added",
        ERROR: "new",
        INTERRUPT: "stays",
    }


def test_only_the_thread_itself_is_deleted(saver: DjangoSaver) -> None:
    """Not one whose id starts alike, nor one with separators or wildcards in its id."""
    others = ["trip_2027", "trip_", "trip/x", "trip%", "Trip", "tri", "trip:1", "__trip__"]
    for thread_id in ("trip", *others):
        config = put(saver, at(thread_id), {"x": "y" * 1_000_000})
        put(saver, at(thread_id, namespace="trip"))
        saver.put_writes(config, [("a", "z" * 1_000_000)], "task")
    saver.delete_thread("trip")
    assert saver.get_tuple(at("trip")) is None
    assert list(saver.list(at("trip"))) == []
    for thread_id in others:
        assert len(list(saver.list({"configurable": {"thread_id": thread_id}}))) == 2
        assert [value for *_, value in writes_of(saver, at(thread_id))] == ["z" * 1_000_000]
    for model in (AgentCheckpoint, AgentWrites, AgentPart):
        assert not model.objects.filter(thread_id="trip").exists()


@pytest.mark.parametrize("size", [PART_BYTES - 500, PART_BYTES + 1, 3 * PART_BYTES, 12_000_000])
def test_values_above_a_document_are_split(saver: DjangoSaver, size: int) -> None:
    """Checkpoints and writes of any size are read back, from rows that fit a document."""
    values = {"text": "x" * size, "bytes": bytes(range(256)) * (size // 1_000)}
    config = put(saver, at("trip"), values)
    saver.put_writes(config, [("a", values["text"]), ("b", 2)], "task")
    found = saver.get_tuple(at("trip"))
    assert found is not None
    assert found.checkpoint["channel_values"] == values
    assert [value for *_, value in found.pending_writes or []] == [values["text"], 2]
    rows = [*AgentCheckpoint.objects.all(), *AgentWrites.objects.all(), *AgentPart.objects.all()]
    assert max(len(bytes(row.data)) for row in rows) < MAX_DOCUMENT_BYTES - 50_000


def test_a_replaced_checkpoint_leaves_no_parts(saver: DjangoSaver) -> None:
    """One that is put again under its id has the new values, and the parts of the old ones are deleted."""
    checkpoint = empty_checkpoint()
    for text in ("a" * 2_000_000, "b" * 1_000_000, "c"):
        checkpoint["channel_values"] = {"text": text}
        saver.put(at("trip"), checkpoint, {"step": len(text)}, {})
        found = saver.get_tuple(at("trip"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"text": text}
    assert AgentCheckpoint.objects.count() == 1
    assert AgentPart.objects.count() == 0


def test_frames_hold_any_bytes() -> None:
    """The header has their lengths, so no byte is a separator."""
    frames = [Frame("a", ("x", b"")), Frame([1, "ü\ud800", None], ("y", bytes(range(256)))), Frame(None, ("", b"\0"))]
    assert frames_of(joined(frames)) == frames
    assert frames_of(joined([])) == []
    data = bytes(2 * PART_BYTES + 1)
    assert [len(part) for part in split(data)] == [PART_BYTES, PART_BYTES, 1]
    assert split(data[:PART_BYTES]) == []


def test_users_are_apart() -> None:
    """The same thread and checkpoint of two users: neither is read, listed, changed or deleted by the other."""
    mine, theirs = DjangoSaver("ada"), DjangoSaver("bob")
    config = put(mine, at("trip"), {"x": "mine"}, run_id="run")
    put(theirs, at("trip"), {"x": "theirs"}, run_id="run")
    mine.put_writes(config, [("a", "mine")], "task")
    theirs.put_writes(config, [("a", "theirs")], "task")
    assert writes_of(mine, config) == [("task", "a", "mine")]
    assert theirs.get_tuple(config) is None
    assert [one.checkpoint["channel_values"] for one in mine.list(None)] == [{"x": "mine"}]
    assert [one.checkpoint["channel_values"] for one in theirs.list(at("trip"))] == [{"x": "theirs"}]
    theirs.copy_thread("trip", "copy")
    assert mine.get_tuple(at("copy")) is None
    theirs.prune(["trip"], strategy="delete")
    theirs.delete_for_runs(["run"])
    theirs.delete_thread("trip")
    assert writes_of(mine, config) == [("task", "a", "mine")]
    assert theirs.get_tuple(at("trip")) is None


def test_a_list_is_read_in_pages(saver: DjangoSaver) -> None:
    """In the order of the checkpoints, across pages, also where copies have the same ids."""
    config, ids = at("trip"), []
    for step in range(65):
        config = put(saver, config, step=step)
        ids.append(config["configurable"]["checkpoint_id"])
    saver.copy_thread("trip", "copy")
    found = [one.config["configurable"]["checkpoint_id"] for one in saver.list(at("trip"))]
    assert found == ids[::-1]
    both = [one.config["configurable"] for one in saver.list(None)]
    assert [one["checkpoint_id"] for one in both] == [one for one in ids[::-1] for _ in range(2)]
    assert {(one["thread_id"], one["checkpoint_id"]) for one in both} == {
        (thread, one) for thread in ("trip", "copy") for one in ids
    }
    odd = [one.metadata["step"] for one in saver.list(at("trip"), filter={"step": 3})]
    assert odd == [3]
    assert [one.metadata["step"] for one in saver.list(at("trip"), before=at("trip", ids[20]), limit=2)] == [19, 18]
    assert list(saver.list(at("trip"), limit=0)) == list(saver.list(at("trip"), limit=-1)) == []


def test_ids_that_cannot_be_stored_are_refused(saver: DjangoSaver) -> None:
    """On every database before anything is written; numbers are ids as their digits."""
    for thread_id in ("", "x" * 256, "\ud800"):
        with pytest.raises(ValidationError):
            put(saver, at(thread_id))
    put(saver, at(7), {"x": 1})
    assert saver.get_tuple(at("7")) is not None
    with pytest.raises(ValueError, match="strategy"):
        saver.prune(["7"], strategy="everything")


def graph_of(saver: BaseCheckpointSaver[Any], annotation: Any = Annotated[list[str], operator.add]) -> Any:
    """A graph with parallel tasks, an interrupt, and a reducer for which order matters."""

    def ask(state: Any) -> Any:
        return {"log": [f"answer {interrupt('question')}"]}

    builder = StateGraph(TypedDict("State", {"log": annotation}))  # type: ignore[misc]
    for name in ("a", "b", "c"):
        builder.add_node(name, lambda state, name=name: {"log": [name]})
        builder.add_edge(START, name)
        builder.add_edge(name, "ask")
    builder.add_node("ask", ask)
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


THREADS = pytest.mark.django_db(transaction=True, databases=["default", "memory"])


@THREADS
def test_a_graph_runs_as_with_the_reference() -> None:
    """Turns, an interrupt, its resumption in another process's saver, history and time travel."""
    outcomes = []
    for one, other in ((DjangoSaver("ada"), DjangoSaver("ada")), (InMemorySaver(),) * 2):
        graph, config = graph_of(one), at("trip")
        for turn in range(3):
            graph.invoke({"log": [f"turn {turn}"]}, config)
            graph_of(other).invoke(Command(resume=turn), config)
        history = list(graph.get_state_history(config))
        fork = graph.update_state(history[4].config, {"log": ["changed"]}, as_node="a")
        outcomes.append(
            (
                [state.values for state in history],
                [state.metadata for state in history],
                graph.get_state(fork).values,
                len(history),
            )
        )
    assert outcomes[0] == outcomes[1]


@THREADS
def test_an_async_graph_runs() -> None:
    """Every async method, on the threads of the adapter."""
    saver = DjangoSaver("ada")

    async def run() -> Any:
        graph, config = graph_of(saver), at("trip")
        await graph.ainvoke({"log": ["hello"]}, config)
        await graph.ainvoke(Command(resume="yes"), config)
        return (await graph.aget_state(config)).values, [state async for state in graph.aget_state_history(config)]

    values, history = async_to_sync(run)()
    assert values == {"log": ["hello", "a", "b", "c", "answer yes"]}
    assert len(history) == len(list(graph_of(saver).get_state_history(at("trip"))))


def added(old: list[str], new: list[list[str]]) -> list[str]:
    """A reducer of delta channels."""
    return [*old, *(one for some in new for one in some)]


DELTA = Annotated[list[str], DeltaChannel(added, snapshot_frequency=1_000)]


@THREADS
def test_delta_channels_are_rebuilt() -> None:
    """Also after a prune, which keeps what they are rebuilt from, and in a copy."""
    saver, reference = DjangoSaver("ada"), InMemorySaver()
    values, histories = [], []
    for one in (saver, reference):
        graph, config = graph_of(one, DELTA), at("trip")
        for turn in range(20):
            graph.invoke({"log": [f"turn {turn}"]}, config)
            graph.invoke(Command(resume=turn), config)
        values.append(graph.get_state(config).values)
        histories.append(
            [write[1:] for write in one.get_delta_channel_history(config=config, channels=["log"])["log"]["writes"]]
        )
    assert values[0] == values[1]
    assert len(values[0]["log"]) == 100
    assert histories[0] == histories[1]
    saver.prune(["trip"])
    assert graph_of(saver, DELTA).get_state(at("trip")).values == values[0]
    saver.copy_thread("trip", "copy")
    assert graph_of(saver, DELTA).get_state(at("copy")).values == values[0]


def test_a_prune_deletes_writes_and_parts(saver: DjangoSaver) -> None:
    """Those of the checkpoints that it deletes, and no others."""
    config = at("trip")
    for _ in range(3):
        config = put(saver, config, {"x": "y" * 1_000_000})
        saver.put_writes(config, [("a", "z" * 1_000_000)], str(uuid4()))
    saver.prune(["trip"])
    assert [model.objects.count() for model in (AgentCheckpoint, AgentWrites, AgentPart)] == [1, 1, 4]
    assert len(writes_of(saver, config)) == 1
