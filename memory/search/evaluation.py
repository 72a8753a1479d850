"""Measures the recall of a search on labelled conversations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memory.snapshots import epoch_microseconds

from .corpus import Corpus
from .embedders import Embedder
from .entries import entry_of, read_text
from .labelled import Conversation, Label
from .passages import Passage
from .relevance import asked, rank
from .texts import embed

CUTS = (5, 10, 20)
ROLES = frozenset({"user", "assistant", "system", "tool"})


@dataclass(frozen=True)
class Found:
    """The result of one question: ranked ids and seconds."""

    label: Label
    ids: tuple[str, ...]
    seconds: float

    def recall(self, cut: int) -> float:
        """The share of the evidence among the first `cut`, 0..1."""
        return len(self.label.evidence.intersection(self.ids[:cut])) / len(self.label.evidence)


def role_of(speaker: str) -> str:
    """The role that a speaker is called by, as in a chat with an assistant; otherwise empty."""
    return speaker.lower() if speaker.lower() in ROLES else ""


def corpus_of(passages: Sequence[Passage], embedder: Embedder | None, language: str | None = None) -> Corpus:
    """The corpus of labelled turns."""
    read = [read_text(one.text, language) for one in passages]
    ends = np.cumsum([len(one.texts) for one in read])
    vectors = np.zeros((0, 0), np.float32)
    if embedder is not None:
        vectors = embed(embedder, [text for one in read for text in one.texts])
    return Corpus.of(
        [
            entry_of(
                one,
                vectors[end - len(one.texts) : end] if len(vectors) else vectors,
                id=passage.id,
                time=epoch_microseconds(passage.time),
                session=passage.session,
                speaker=passage.speaker,
                role=role_of(passage.speaker),
            )
            for one, passage, end in zip(read, passages, ends, strict=True)
        ]
    )


def in_memory(
    conversations: Iterable[Conversation], embedder: Embedder | None, language: str | None = None
) -> list[tuple[Conversation, Corpus]]:
    """The conversations, each with its corpus."""
    return [(one, corpus_of(one.passages, embedder, language)) for one in conversations]


def evaluate(
    memories: Sequence[tuple[Conversation, Corpus]], embedder: Embedder | None, language: str | None = None
) -> Iterator[dict[str, Found]]:
    """For each question the result of every ranking, by the ranking's name."""
    for conversation, corpus in memories:
        for label in conversation.labels:
            yield {"all": _found(label, corpus, embedder, language)}


def _found(label: Label, corpus: Corpus, embedder: Embedder | None, language: str | None) -> Found:
    start = time.perf_counter()
    ranked = rank(asked(label.question, embedder, language), corpus, None, max(CUTS))
    return Found(label, tuple(corpus.ids[one.place] for one in ranked), time.perf_counter() - start)


def measures(found: Sequence[Found]) -> Mapping[str, float]:
    """The number of questions, means (recall@5/10/20, any-hit@10: 0..1), and milliseconds."""
    milliseconds = [1_000 * one.seconds for one in found]
    return {
        "questions": float(len(found)),
        **{f"recall@{cut}": float(np.mean([one.recall(cut) for one in found])) for cut in CUTS},
        "any@10": float(np.mean([one.recall(10) > 0 for one in found])),
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
