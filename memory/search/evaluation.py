"""How much of what was asked for is found: labelled conversations in, measures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .candidates import Begun, Source, begin, finish
from .embedders import Embedder
from .in_memory import InMemorySource
from .labelled import Conversation, Label
from .passages import ask
from .ranking import DEFAULT_WEIGHTS, PARTS, Weights, rank

LIMIT = 10
CUTS = (5, 10, 20)


@dataclass(frozen=True)
class Found:
    """The outcome of one question: ids in their order, how much of its evidence was read, reads, rounds, seconds."""

    label: Label
    ids: tuple[str, ...]
    reached: int
    reads: int
    rounds: int
    seconds: float

    def recall(self, cut: int) -> float:
        """The share of the evidence among the first `cut`, 0..1."""
        return len(self.label.evidence.intersection(self.ids[:cut])) / len(self.label.evidence)

    @property
    def reach(self) -> float:
        """The share of the evidence that was read at all, 0..1: the most that any order could find."""
        return self.reached / len(self.label.evidence)


def variants() -> dict[str, Weights]:
    """The rankings that are compared: all parts, words or vectors alone, and all without each part."""
    used = [part for part in PARTS if getattr(DEFAULT_WEIGHTS, part)]
    return {
        "all": DEFAULT_WEIGHTS,
        "only lexical": DEFAULT_WEIGHTS.only("lexical"),
        "only vector": DEFAULT_WEIGHTS.only("vector"),
        **{f"without {part}": DEFAULT_WEIGHTS.without(part) for part in used},
    }


def in_memory(conversations: Sequence[Conversation], embedder: Embedder | None) -> list[tuple[Conversation, Source]]:
    """The conversations, each with a source that holds it."""
    return [(one, InMemorySource(one.passages, embedder)) for one in conversations]


def evaluate(
    memories: Sequence[tuple[Conversation, Source]],
    embedder: Embedder | None,
    language: str = "english",
    weighed: Mapping[str, Weights] | None = None,
) -> Iterator[dict[str, Found]]:
    """For one question after the other what each ranking finds, by its name: the `variants` unless others are given.

    A search reads what one for ten may. The first round, which no weight changes, is made once for all rankings, and
    its time counted for each.
    """
    weighed = variants() if weighed is None else weighed
    for conversation, source in memories:
        for label in conversation.labels:
            start = time.perf_counter()
            begun = begin(source, ask(label.question, language, embedder), LIMIT)
            shared = time.perf_counter() - start
            yield {name: _found(label, source, begun, weights, shared) for name, weights in weighed.items()}


def _found(label: Label, source: Source, begun: Begun, weights: Weights, shared: float) -> Found:
    start = time.perf_counter()
    gathered = finish(source, begun, LIMIT, weights)
    ids = tuple(one.passage.id for one in rank(gathered.question, gathered.pool, weights)[: max(CUTS)])
    seconds = shared + time.perf_counter() - start
    reached = len(label.evidence & gathered.pool.passages.keys())
    return Found(label, ids, reached, gathered.reads, gathered.rounds, seconds)


def measures(found: Sequence[Found]) -> Mapping[str, float]:
    """How many questions, means over them (recall@5/10/20, any-hit@10, reach: 0..1), most reads and rounds, ms."""
    milliseconds = [1_000 * one.seconds for one in found]
    return {
        "questions": float(len(found)),
        **{f"recall@{cut}": float(np.mean([one.recall(cut) for one in found])) for cut in CUTS},
        "any@10": float(np.mean([one.recall(10) > 0 for one in found])),
        "reach": float(np.mean([one.reach for one in found])),
        "reads": float(max(one.reads for one in found)),
        "rounds": float(max(one.rounds for one in found)),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
    }


def grouped(found: Sequence[Found], name: Callable[[Label], str]) -> dict[str, list[Found]]:
    """The outcomes by what a question's label is called by, in the order of names; without those of no name."""
    groups: dict[str, list[Found]] = {}
    for one in found:
        if called := name(one.label):
            groups.setdefault(called, []).append(one)
    return dict(sorted(groups.items()))
