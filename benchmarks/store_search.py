"""Search in a LangGraph store of 10,000 items, beside langgraph-store-firestore: one emulator, one run, in turns.

    python -m benchmarks.store_search [--items 10000] [--questions 60]

The items are conversations of `tests/search/data/`, each in a namespace of one store; the questions are those of the
held-out ones. Both stores get the same embedder where they take one. A proxy counts the documents that are read.

A vector search of Firestore also bills one read for each 100 entries of the index that it scans, which no response
shows: the peer's searches scan all items, and the last line adds them. Needs the packages of requirements-adapters.txt
and langgraph-store-firestore==0.1.0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from django.core.management import call_command

from memory.search.labelled import Conversation, read_conversations
from memory.testing import emulator
from tests.faults.meter import Meter
from tests.search.data import build

from .peers import LIMIT, PROJECT, LangGraph, configure, report, run

AT_ONCE = 200
ENTRIES_PER_READ = 100


class Ours:
    """`DjangoStore`, indexed as `manage.py memory_index` leaves it."""

    name = "orchestra-memory"

    def __init__(self, conversations: int) -> None:
        from memory.adapters.langgraph import DjangoStore

        self._missing = conversations
        self._store = DjangoStore("ada", fields=["text"])

    def remember(self, conversation: Conversation) -> None:
        """Store a conversation in batches."""
        from langgraph.store.base import PutOp

        ops: Iterator[Any] = (
            PutOp(("memories", conversation.id), turn.id, {"text": turn.text, "speaker": turn.speaker})
            for turn in conversation.passages
        )
        while some := list(islice(ops, AT_ONCE)):
            self._store.batch(some)
        self._missing -= 1
        if not self._missing:
            call_command("memory_index", verbosity=0)

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """Search by `query`."""
        return [found.key for found in self._store.search(("memories", conversation.id), query=question, limit=LIMIT)]


def conversations(items: int) -> list[Conversation]:
    """All held-out conversations, and others without their questions, of together at least this number of turns."""
    paths = sorted(build.FOLDER.glob("**/*.json"), key=lambda path: ("heldout" not in path.name, path.name))
    found: list[Conversation] = []
    for path in paths:
        for conversation in read_conversations(path.read_text("utf-8")):
            if sum(len(one.passages) for one in found) >= items:
                return found
            labels = [label for label in conversation.labels if label.evidence and "heldout" in path.name]
            found.append(replace(conversation, labels=tuple(labels)))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=60)
    given = parser.parse_args()
    chosen = conversations(given.items)
    items = sum(len(one.passages) for one in chosen)
    with Meter(emulator.emulator(PROJECT)) as meter:
        configure(meter.address)
        results = run([Ours(len(chosen)), LangGraph()], chosen, given.questions, meter.bill)
    scanned = -(-items // ENTRIES_PER_READ)
    sys.stdout.write(f"{items} items in {len(chosen)} namespaces\n{report(results)}\n")
    sys.stdout.write(f"with index entries: {results[0].reads:.1f} and {results[1].reads + scanned:.1f} reads\n")


if __name__ == "__main__":
    main()
