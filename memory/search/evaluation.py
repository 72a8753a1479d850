"""Measures the recall of a search on labelled conversations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memory.snapshots import epoch_microseconds

from .asking import sought_terms
from .corpus import Corpus
from .embedders import Embedder
from .entries import entry_of, read_text
from .labelled import Conversation, Label
from .passages import Passage
from .postings import LONG, SHORT, Postings
from .relevance import Ranked, asked, rank
from .reranking import MOST_RERANKED, reranked
from .texts import embed
from .weights import NOTHING_BELOW

CUTS = (5, 10, 20)
LEAST_SCORES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Values of `min_score` for which it is shown what they lose and refuse."""
BM25 = {f"BM25 {how[0]}/{how[1]}": how for how in (SHORT, LONG)}
ROLES = frozenset({"user", "assistant", "system", "tool"})


@dataclass(frozen=True)
class Found:
    """The result of one question: ranked ids, their scores (none for BM25), and seconds."""

    label: Label
    ids: tuple[str, ...]
    seconds: float
    scores: tuple[float, ...] = ()

    def recall(self, cut: int) -> float:
        """The share of the evidence among the first `cut`, 0..1."""
        return len(self.label.evidence.intersection(self.ids[:cut])) / len(self.label.evidence)

    def kept(self, least: float, cut: int = 10) -> tuple[str, ...]:
        """The first `cut` results with at least this score."""
        return tuple(identity for identity, score in zip(self.ids[:cut], self.scores, strict=False) if score >= least)


def role_of(speaker: str) -> str:
    """The role that a speaker is called by, as in a chat with an assistant; otherwise empty."""
    return speaker.lower() if speaker.lower() in ROLES else ""


def corpus_of(passages: Sequence[Passage], embedder: Embedder | None, language: str | None = None) -> Corpus:
    """The corpus of labelled turns."""
    read = [read_text(passage.text, language) for passage in passages]
    ends = np.cumsum([len(text_read.texts) for text_read in read])
    vectors = np.zeros((0, 0), np.float32)
    if embedder is not None:
        vectors = embed(embedder, [text for text_read in read for text in text_read.texts])
    return Corpus.of(
        [
            entry_of(
                text_read,
                vectors[end - len(text_read.texts) : end] if len(vectors) else vectors,
                id=passage.id,
                time=epoch_microseconds(passage.time),
                session=passage.session,
                speaker=passage.speaker,
                role=passage.role or role_of(passage.speaker),
            )
            for text_read, passage, end in zip(read, passages, ends, strict=True)
        ]
    )


def in_memory(
    conversations: Iterable[Conversation], embedder: Embedder | None, language: str | None = None
) -> list[tuple[Conversation, Corpus]]:
    """The conversations, each with its corpus."""
    return [(conversation, corpus_of(conversation.passages, embedder, language)) for conversation in conversations]


def evaluate(
    memories: Sequence[tuple[Conversation, Corpus]],
    embedder: Embedder | None,
    language: str | None = None,
    *,
    rerank: bool = False,
) -> Iterator[dict[str, Found]]:
    """For each question the result of the search, and of BM25 over all turns in two settings, by the ranking's name.

    With `rerank`, the configured reranker, if there is one, orders the results.
    """
    for conversation, corpus in memories:
        texts = {passage.id: passage.text for passage in conversation.passages} if rerank else {}
        for label in conversation.labels:
            start = time.perf_counter()
            question = asked(label.question, embedder, language, label.asker)
            ranked = rank(question, corpus, None, MOST_RERANKED if rerank else max(CUTS))
            if rerank:
                ranked = _reranked(label.question, ranked, [texts[corpus.ids[candidate.place]] for candidate in ranked])
            seconds = time.perf_counter() - start
            ids = tuple(corpus.ids[candidate.place] for candidate in ranked)
            found = {"all": Found(label, ids, seconds, tuple(candidate.score for candidate in ranked))}
            words = Postings(corpus, sought_terms(question, corpus)[1])
            yield found | {name: _by_words(label, corpus, words, how) for name, how in BM25.items()}


def _reranked(question: str, ranked: Sequence[Ranked], texts: Sequence[str]) -> list[Ranked]:
    order = reranked(question, texts)[: max(CUTS)]
    return [ranked[at] if score is None else ranked[at]._replace(score=score) for at, score in order]


def _by_words(label: Label, corpus: Corpus, words: Postings, how: tuple[float, float]) -> Found:
    start = time.perf_counter()
    scores = words.scores(how)
    order = np.argsort(-scores, kind="stable")[: max(CUTS)].tolist()
    return Found(label, tuple(corpus.ids[place] for place in order if scores[place] > 0), time.perf_counter() - start)


def measures(found: Sequence[Found]) -> Mapping[str, float]:
    """The number of questions, means (recall@5/10/20, any-hit@10: 0..1), and milliseconds.

    Of the search also, at the default `min_score`: the precision (the share of the first ten results that are
    evidence), the share of the found evidence that is lost, and that of the unanswerable questions without a result.
    """
    answerable = [result for result in found if result.label.evidence]
    milliseconds = [1_000 * result.seconds for result in found]
    return {
        "questions": float(len(found)),
        **{f"recall@{cut}": _mean([result.recall(cut) for result in answerable]) for cut in CUTS},
        "any@10": _mean([result.recall(10) > 0 for result in answerable]),
        **(at_least(found, NOTHING_BELOW) if any(result.scores for result in found) else {}),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
    }


def at_least(found: Sequence[Found], least: float) -> dict[str, float]:
    """What a `min_score` does: precision, the share of the found evidence that is lost, and of questions refused."""
    kept = [len(result.kept(least)) for result in found]
    right = [len(result.label.evidence.intersection(result.kept(least))) for result in found]
    all_found = sum(len(result.label.evidence.intersection(result.ids[:10])) for result in found)
    none = [not result.kept(least) for result in found if not result.label.evidence]
    measured = {"precision": sum(right) / max(1, sum(kept)), "lost": (all_found - sum(right)) / max(1, all_found)}
    return measured | ({"refused": _mean(none)} if none else {})


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def grouped(found: Sequence[Found], name: Callable[[Label], str]) -> dict[str, list[Found]]:
    """The results grouped by a name of their labels, in the order of names; unnamed ones are excluded."""
    groups: dict[str, list[Found]] = {}
    for result in found:
        if called := name(result.label):
            groups.setdefault(called, []).append(result)
    return dict(sorted(groups.items()))
