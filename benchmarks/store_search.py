"""Search in a LangGraph store of 10,000 items, beside langgraph-store-firestore: one emulator, one run, in turns.

    python -m benchmarks.store_search [--items 10000] [--questions 60] [--whole]

The items are conversations of `tests/search/data/`, each in a namespace of one store; the questions are those of the
held-out ones. A question is asked in the namespace of its conversation, with `--whole` in all of them together. Both
stores get the same embedder, the app's default. A proxy counts the documents that are read.

A vector search of Firestore also bills one read for each 100 entries of the index that it reads, which no response
shows (https://cloud.google.com/firestore/pricing). The last line adds those of the searched namespaces to the peer's.
Needs the packages of requirements-adapters.txt and langgraph-store-firestore==0.1.0.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from django.core.management import call_command

from memory.search.labelled import Conversation, read_conversations
from memory.testing import emulator
from tests.faults.meter import Meter
from tests.search.data import build

from .peers import PROJECT, LangGraph, configure, report, run, searched

AT_ONCE = 200
ENTRIES_PER_READ = 100
SETTLED = 11.0
"""Seconds after which no commit of a write can be late: an index that is made earlier reads the last items again."""


class Ours:
    """`DjangoStore`, indexed as `manage.py memory_index` leaves it."""

    name = "orchestra-memory"

    def __init__(self, conversations: int, whole: bool) -> None:
        from memory.adapters.langgraph import DjangoStore

        self._missing = conversations
        self._whole = whole
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
            time.sleep(SETTLED)
            call_command("memory_index", verbosity=0)

    def search(self, conversation: Conversation, question: str) -> list[str]:
        """Search by `query`, in the namespace of the conversation or in all."""
        return searched(self._store, conversation, question, self._whole)


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
    parser.add_argument("--whole", action="store_true", help="search all namespaces together")
    given = parser.parse_args()
    chosen = conversations(given.items)
    items = sum(len(one.passages) for one in chosen)
    with Meter(emulator.emulator(PROJECT)) as meter:
        configure(meter.address)
        results = run([Ours(len(chosen), given.whole), LangGraph(given.whole)], chosen, given.questions, meter.bill)
    sizes = [items] if given.whole else [len(one.passages) for one in chosen for _ in one.labels]
    scanned = statistics.mean(-(-size // ENTRIES_PER_READ) for size in sizes)
    sys.stdout.write(f"{items} items in {len(chosen)} namespaces\n{report(results)}\n")
    sys.stdout.write(f"with index entries: {results[0].reads:.1f} and {results[1].reads + scanned:.1f} reads\n")


if __name__ == "__main__":
    main()
