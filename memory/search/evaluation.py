"""How much of what was asked for is found: labelled conversations in, measures out.

A file has `{"conversations": [{"id", "turns": [{"id", "session", "speaker", "time", "text"}], "questions":
[{"question", "evidence": [turn ids], "category"}]}]}`; one conversation is one user's memory, a time is ISO 8601. A
category may be `kind/category`: kinds are measured apart too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .candidates import Source, gather
from .embedders import Embedder
from .in_memory import InMemorySource
from .passages import Passage, ask
from .ranking import DEFAULT_WEIGHTS, PARTS, Weights, rank
from .terms import terms

LIMIT = 10
CUTS = (5, 10, 20)


class EvaluationError(ValueError):
    """A file does not have labelled conversations; the message tells the place."""


@dataclass(frozen=True)
class Label:
    """A question, and the ids of the turns that answer it."""

    question: str
    evidence: frozenset[str]
    category: str

    @property
    def kind(self) -> str:
        """What the category begins with; empty for a category without kinds."""
        return self.category.rpartition("/")[0]


@dataclass(frozen=True)
class Conversation:
    """One user's memory, with the questions about it."""

    id: str
    passages: tuple[Passage, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Found:
    """The outcome of one question: ids in their order, all that were read, reads, rounds, seconds."""

    label: Label
    ids: tuple[str, ...]
    read: frozenset[str]
    reads: int
    rounds: int
    seconds: float

    def recall(self, cut: int) -> float:
        """The share of the evidence among the first `cut`, 0..1."""
        return len(self.label.evidence.intersection(self.ids[:cut])) / len(self.label.evidence)

    @property
    def reach(self) -> float:
        """The share of the evidence that was read at all, 0..1: the most that any order could find."""
        return len(self.label.evidence & self.read) / len(self.label.evidence)


def read_conversations(text: str, language: str = "english") -> list[Conversation]:
    """The conversations of a file's text. Raises `EvaluationError`."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise EvaluationError(f"The file is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("conversations"), list) or not data["conversations"]:
        raise EvaluationError('The file has no list "conversations" with at least one.')
    return [
        _conversation(one, f"conversations[{number}]", language) for number, one in enumerate(data["conversations"])
    ]


def _conversation(data: Any, place: str, language: str) -> Conversation:
    (identity,) = _texts(data, ("id",), place)
    passages = tuple(
        _passage(turn, f"{place}.turns[{number}]", language) for number, turn in enumerate(_list(data, "turns", place))
    )
    known = {passage.id for passage in passages}
    if len(known) != len(passages):
        raise EvaluationError(f"{place} has two turns with one id.")
    labels = tuple(
        _label(one, known, f"{place}.questions[{number}]") for number, one in enumerate(_list(data, "questions", place))
    )
    return Conversation(identity, passages, labels)


def _passage(data: Any, place: str, language: str) -> Passage:
    identity, session, speaker, said, text = _texts(data, ("id", "session", "speaker", "time", "text"), place)
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        raise EvaluationError(f"{place}.time is {said!r}, which is not ISO 8601.") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Passage(identity, session, speaker, aware, text, tuple(terms(text, language)))


def _label(data: Any, known: set[str], place: str) -> Label:
    question, category = _texts(data, ("question", "category"), place)
    evidence = _list(data, "evidence", place)
    if not evidence or not all(isinstance(one, str) and one in known for one in evidence):
        raise EvaluationError(
            f"{place}.evidence is {evidence!r}; it must name turns of the conversation, at least one."
        )
    return Label(question, frozenset(evidence), category)


def _texts(data: Any, names: Sequence[str], place: str) -> list[str]:
    if not isinstance(data, dict):
        raise EvaluationError(f"{place} must be an object.")
    for name in names:
        if not isinstance(data.get(name), str):
            raise EvaluationError(f"{place}.{name} must be a text.")
    return [data[name] for name in names]


def _list(data: Any, name: str, place: str) -> list[Any]:
    if not isinstance(value := data.get(name), list):
        raise EvaluationError(f"{place}.{name} must be a list.")
    return value


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
    memories: Sequence[tuple[Conversation, Source]], embedder: Embedder | None, language: str = "english"
) -> Iterator[tuple[str, list[Found]]]:
    """Each variant's name with the outcome of every question. A search reads what one for ten results may."""
    for name, weights in variants().items():
        found = []
        for conversation, source in memories:
            for label in conversation.labels:
                start = time.perf_counter()
                question = ask(label.question, language, embedder)
                gathered = gather(source, question, LIMIT, weights)
                ids = tuple(one.passage.id for one in rank(gathered.question, gathered.pool, weights)[: max(CUTS)])
                seconds = time.perf_counter() - start
                read = frozenset(gathered.pool.passages)
                found.append(Found(label, ids, read, gathered.reads, gathered.rounds, seconds))
        yield name, found


def measures(found: Sequence[Found]) -> Mapping[str, float]:
    """Means over questions (recall@5/10/20, any-hit@10, reach: 0..1), most reads and rounds, a search's time in ms."""
    if not found:
        raise EvaluationError("The conversations have no questions.")
    milliseconds = [1_000 * one.seconds for one in found]
    return {
        **{f"recall@{cut}": float(np.mean([one.recall(cut) for one in found])) for cut in CUTS},
        "any@10": float(np.mean([one.recall(10) > 0 for one in found])),
        "reach": float(np.mean([one.reach for one in found])),
        "reads": float(max(one.reads for one in found)),
        "rounds": float(max(one.rounds for one in found)),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
    }


def by_kind(found: Sequence[Found]) -> dict[str, list[Found]]:
    """The outcomes of each kind of questions, by its name; empty where no category has a kind."""
    kinds: dict[str, list[Found]] = {}
    for one in found:
        if one.label.kind:
            kinds.setdefault(one.label.kind, []).append(one)
    return kinds
