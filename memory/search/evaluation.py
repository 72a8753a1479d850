"""Measures recall and cost of a search on labelled conversations."""

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
    """The result of one question: ranked ids, the number of evidence passages read, reads, rounds, seconds."""

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
        """The share of the evidence that was read, 0..1: the upper bound of recall for any ranking."""
        return self.reached / len(self.label.evidence)


def variants() -> dict[str, Weights]:
    """The compared rankings: all parts, words or vectors alone, and all parts but one."""
    used = [part for part in PARTS if getattr(DEFAULT_WEIGHTS, part)]
    return {
        "all": DEFAULT_WEIGHTS,
        "only lexical": DEFAULT_WEIGHTS.only("lexical"),
        "only vector": DEFAULT_WEIGHTS.only("vector"),
        **{f"without {part}": DEFAULT_WEIGHTS.without(part) for part in used},
    }


def in_memory(conversations: Sequence[Conversation], embedder: Embedder | None) -> list[tuple[Conversation, Source]]:
    """The conversations, each with a source in memory."""
    return [(one, InMemorySource(one.passages, embedder)) for one in conversations]


def evaluate(
    memories: Sequence[tuple[Conversation, Source]],
    embedder: Embedder | None,
    language: str = "english",
    weighed: Mapping[str, Weights] | None = None,
) -> Iterator[dict[str, Found]]:
    """For each question the result of every ranking, by the ranking's name. Default: the `variants`.

    The budget is that of a search for ten results. The first round does not depend on the weights: it runs once, and
    its time counts for each ranking.
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
    """The number of questions, means (recall@5/10/20, any-hit@10, reach: 0..1), maxima of reads and rounds, ms."""
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
    """The results grouped by a name of their labels, in the order of names; unnamed ones are excluded."""
    groups: dict[str, list[Found]] = {}
    for one in found:
        if called := name(one.label):
            groups.setdefault(called, []).append(one)
    return dict(sorted(groups.items()))
