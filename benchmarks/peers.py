"""Compares search with langgraph-store-firestore and ADK's Firestore memory: one emulator, one run, in turns.

    python -m benchmarks.peers [--set heldout] [--conversations N] [--questions N] [--json FILE]

Needs what benchmarks/requirements-peers.txt names. Who takes an embedder gets the same one, the app's default. All
calls pass one proxy, which counts what is read as Firestore bills it; it costs each of them the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import django
from django.conf import settings

from memory.search.embedders.default import default_embedder
from memory.search.labelled import Conversation, Label, read_conversations
from memory.testing import emulator
from tests.faults.meter import Bill, Meter
from tests.search.data import build

LIMIT = 10
MARGIN_SECONDS = 10.5
"""After which an index of what was written is final: a search reads later items, and those of the last ten seconds."""
PROJECT = f"peers-{uuid.uuid4().hex[:8]}"


class Peer(Protocol):
    """A store that is compared."""

    name: str

    def remember(self, conversation: Conversation) -> None:
        """Store all turns."""

    def index(self, conversations: Sequence[Conversation]) -> None:
        """What is due after an import and before searches."""

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """Ids of all returned turns, in order."""


class Ours:
    """`MemoryItem.objects.search`."""

    name = "orchestra-memory"

    def remember(self, conversation: Conversation) -> None:
        """Store in one call."""
        from memory.models import MemoryItem
        from memory.search.stored import items_of

        MemoryItem.objects.bulk_create(items_of(conversation.passages, conversation.id))

    def index(self, conversations: Sequence[Conversation]) -> None:
        """As `memory_index` after an import."""
        from memory.search.packing import pack

        for conversation in conversations:
            pack(conversation.id, "default")

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """Search as documented in the README."""
        from memory.models import MemoryItem

        found = MemoryItem.objects.search(question, user_id=conversation.id, limit=LIMIT)
        return [item.pk for item in found]


class LangGraph:
    """A `BaseStore`: one namespace per user, vectors of whole texts, one `put` per turn."""

    name = "langgraph-store-firestore"

    def __init__(self, whole: bool = False) -> None:
        from langgraph_store_firestore import FirestoreStore

        self._whole = whole
        embedder = default_embedder()
        self._store = FirestoreStore(
            project_id=PROJECT,
            index={
                "dims": embedder.dimension,
                "embed": lambda texts: embedder.embed_documents(texts).tolist(),
                "fields": ["text"],
            },
            create_index=False,  # the emulator has no Admin API, and needs no indexes
        )

    def remember(self, conversation: Conversation) -> None:
        """Store one turn per `put`."""
        for turn in conversation.passages:
            value = {"text": turn.text, "speaker": turn.speaker, "session": turn.session, "time": str(turn.time)}
            self._store.put(("memories", conversation.id), turn.id, value)

    def index(self, conversations: Sequence[Conversation]) -> None:
        """Nothing: each `put` has stored its vector."""

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """Search by `query`, in the namespace of the conversation or in all."""
        return searched(self._store, conversation, question, self._whole)


def searched(store: Any, conversation: Conversation, question: str, whole: bool) -> list[str]:
    """The ids of the turns that a store finds in the namespace of a conversation, or in all; "" for other turns."""
    place = ("memories", conversation.id)
    results = store.search(place[:1] if whole else place, query=question, limit=LIMIT)
    return [found.key if found.namespace == place else "" for found in results]


class Adk:
    """ADK's memory service: documents have the words of a turn, and a search queries each word.

    It has no ranking, limit or ids; author, text and time identify a turn.
    """

    name = "google-adk"
    app = "peers"

    def __init__(self) -> None:
        from google.adk.integrations.firestore.firestore_memory_service import FirestoreMemoryService
        from google.cloud import firestore

        self._loop = asyncio.new_event_loop()  # an AsyncClient is bound to a loop
        self._service = FirestoreMemoryService(firestore.AsyncClient(project=PROJECT))
        self._ids: dict[tuple[str, str | None, str, str | None], str] = {}

    def remember(self, conversation: Conversation) -> None:
        """Store one session per call, like ADK's runner."""
        from google.adk.events.event import Event
        from google.adk.memory._utils import format_timestamp
        from google.genai import types

        sessions: dict[str, list[Any]] = {}
        for turn in conversation.passages:
            event = Event(
                id=turn.id,
                author=turn.speaker,
                content=types.Content(parts=[types.Part(text=turn.text)]),
                timestamp=turn.time.timestamp(),
            )
            sessions.setdefault(turn.session, []).append(event)
            self._ids[conversation.id, turn.speaker, turn.text, format_timestamp(event.timestamp)] = turn.id
        for session, events in sessions.items():
            self._run(
                self._service.add_events_to_memory(
                    app_name=self.app, user_id=conversation.id, events=events, session_id=session
                )
            )

    def index(self, conversations: Sequence[Conversation]) -> None:
        """Nothing: each document has its words."""

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """All results in order."""
        answer = self._run(self._service.search_memory(app_name=self.app, user_id=conversation.id, query=question))
        return [
            self._ids[conversation.id, entry.author, entry.content.parts[0].text, entry.timestamp]
            for entry in answer.memories
        ]

    def _run(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)


@dataclass
class Tally:
    """Results and costs of a peer's searches, one entry per search."""

    recalls: list[float] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    recalls_of_all: list[float] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, label: Label, found: Sequence[str], bill: Bill, seconds: float) -> None:
        """Add the result of a search."""
        first = label.evidence.intersection(found[:LIMIT])
        self.recalls.append(len(first) / len(label.evidence))
        self.hits.append(bool(first))
        self.recalls_of_all.append(len(label.evidence.intersection(found)) / len(label.evidence))
        self.returned.append(len(found))
        self.reads.append(bill.read)
        self.calls.append(bill.calls.total())
        self.milliseconds.append(seconds * 1000)


@dataclass(frozen=True)
class Storing:
    """What storing and indexing all turns takes, for each turn."""

    turns_per_second: float
    reads: float
    writes: float


@dataclass(frozen=True)
class Result:
    """Means over the questions unless stated otherwise; recalls are 0..1, times in milliseconds."""

    name: str
    storing: Storing
    recall_at_10: float
    any_at_10: float
    recall_of_all: float
    returned: float
    reads: float
    most_reads: int
    calls: float
    p50_ms: float
    p95_ms: float


def run(peers: Sequence[Peer], conversations: Sequence[Conversation], most: int, bill: Bill) -> list[Result]:
    """Store all conversations in all peers, then run each question on each peer in turn."""
    storing = {peer.name: _stored(peer, conversations, bill) for peer in peers}
    tallies = {peer.name: Tally() for peer in peers}
    every = [(conversation, label) for conversation in conversations for label in conversation.labels]
    asked = every[:: -(-len(every) // most)]
    for peer in peers:  # warm-up
        peer.search(*_first(asked))
    for number, (conversation, label) in enumerate(asked):
        turned = [*peers[number % len(peers) :], *peers[: number % len(peers)]]
        for peer in turned:
            bill.clear()
            started = time.perf_counter()
            found = peer.search(conversation, label.question)
            tallies[peer.name].add(label, found, bill, time.perf_counter() - started)
    return [_result(name, storing[name], tally) for name, tally in tallies.items()]


def _first(asked: Sequence[tuple[Conversation, Label]]) -> tuple[Conversation, str]:
    conversation, label = asked[0]
    return conversation, label.question


def _stored(peer: Peer, conversations: Sequence[Conversation], bill: Bill) -> Storing:
    bill.clear()
    started = time.perf_counter()
    for conversation in conversations:
        peer.remember(conversation)
    seconds = time.perf_counter() - started
    time.sleep(MARGIN_SECONDS)
    started = time.perf_counter()
    peer.index(conversations)
    seconds += time.perf_counter() - started
    turns = sum(len(conversation.passages) for conversation in conversations)
    return Storing(turns / seconds, bill.read / turns, len(bill.written) / turns)


def _result(name: str, storing: Storing, tally: Tally) -> Result:
    ordered = sorted(tally.milliseconds)
    return Result(
        name=name,
        storing=storing,
        recall_at_10=statistics.mean(tally.recalls),
        any_at_10=statistics.mean(tally.hits),
        recall_of_all=statistics.mean(tally.recalls_of_all),
        returned=statistics.mean(tally.returned),
        reads=statistics.mean(tally.reads),
        most_reads=max(tally.reads),
        calls=statistics.mean(tally.calls),
        p50_ms=statistics.median(ordered),
        p95_ms=ordered[int(len(ordered) * 0.95)],
    )


SHOWN: dict[str, Callable[[Result], str]] = {
    "recall@10": lambda result: f"{result.recall_at_10:.3f}",
    "any@10": lambda result: f"{result.any_at_10:.3f}",
    "recall of all returned": lambda result: f"{result.recall_of_all:.3f}",
    "returned": lambda result: f"{result.returned:.1f}",
    "documents read": lambda result: f"{result.reads:.1f} (most {result.most_reads})",
    "RPCs": lambda result: f"{result.calls:.1f}",
    "p50, p95 ms": lambda result: f"{result.p50_ms:.0f}, {result.p95_ms:.0f}",
    "turns stored a second": lambda result: f"{result.storing.turns_per_second:.0f}",
    "read, written for a turn": lambda result: f"{result.storing.reads:.2f}, {result.storing.writes:.2f}",
}


def report(results: Sequence[Result]) -> str:
    """Format the results as a table."""
    lines = [" " * 24 + "".join(f"{result.name:>28}" for result in results)]
    lines += [f"{title:24}" + "".join(f"{show(result):>28}" for result in results) for title, show in SHOWN.items()]
    return "\n".join(lines)


def configure(address: str) -> None:
    """Configure Django; Google's clients find the emulator by the environment variable."""
    os.environ |= {"FIRESTORE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": PROJECT}
    warnings.filterwarnings("ignore")
    settings.configure(
        SECRET_KEY=uuid.uuid4().hex,  # of the audit trail, which has a record of each command
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "memory"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "memory.backends.firestore",
                "NAME": "(default)",
                "PROJECT": PROJECT,
                "HOST": address,
                "OPTIONS": {"timeout": 60},
            }
        },
        MEMORY={"CACHE": None, "INDEX_AFTER": None},  # no packer's reads in another's bill
    )
    django.setup()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=build.SETS, default="heldout", help="set of tests/search/data")
    parser.add_argument("--conversations", type=int, default=1_000, metavar="N", help="only the first N of that set")
    parser.add_argument(
        "--questions", type=int, default=10_000, metavar="N", help="at most N, evenly chosen; default: all"
    )
    parser.add_argument("--peer", action="append", choices=tuple(PEERS), help="only this peer; can be repeated")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    given = parser.parse_args()
    conversations = read_conversations((build.FOLDER / f"{given.set}.json").read_text("utf-8"))[: given.conversations]
    with Meter(emulator.emulator(PROJECT)) as meter:
        configure(meter.address)
        peers = [PEERS[name]() for name in given.peer or PEERS]
        results = run(peers, conversations, given.questions, meter.bill)
    sys.stdout.write(report(results) + "\n")
    if given.json:
        Path(given.json).write_text(json.dumps([asdict(result) for result in results], indent=2), encoding="utf-8")
    return 0


PEERS: dict[str, Callable[[], Peer]] = {peer.name: peer for peer in (Ours, LangGraph, Adk)}


if __name__ == "__main__":
    sys.exit(main())
