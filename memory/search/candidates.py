"""Which documents a search reads: two rounds of requests, planned without I/O, within a budget.

A source answers requests; how (Firestore, SQLite, a list in memory) is its own matter. Reads are counted as Firestore
bills them: a document returned is one, a query that returns none is one, a count is one per 1,000 entries.
https://cloud.google.com/firestore/pricing#operations

    reads <= 15 x max(limit, 10)

The first round asks for the nearest vectors, for a few passages with each of the question's terms, and for the terms'
frequencies; all of it at once. The second spends what is left: three quarters on the turns around the best of the
first, the rest on more passages with the rarest terms that the first round cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from .embedders import Vectors
from .passages import Passage, Pool, Question, naming
from .ranking import DEFAULT_WEIGHTS, Weights, rank

READS_PER_RESULT, LEAST_LIMIT = 15, 10
ENTRIES_PER_READ = 1_000
# Shares of the budget in the first round, in reads per result: nearest, by terms, and the count of the whole memory.
NEAREST, BY_TERMS, WHOLE = 6, 3.5, 1
TERMS_PER_RESULT = 2
SPAN = 2  # turns to each side


@dataclass(frozen=True)
class Nearest:
    """The passages whose vectors are nearest, nearest first, with their similarity."""

    vector: Vectors
    limit: int


@dataclass(frozen=True)
class WithTerm:
    """The newest passages with a term, newest first; those older than `before`, where it is given."""

    term: str
    limit: int
    before: Passage | None = None


@dataclass(frozen=True)
class Count:
    """How many passages there are, with a term or at all; not counted beyond `most`."""

    most: int
    term: str | None = None


@dataclass(frozen=True)
class Around:
    """A passage, which is at hand, between the `span` turns before and after it in its session; in order."""

    passage: Passage
    span: int = SPAN


Request = Nearest | WithTerm | Count | Around


@dataclass(frozen=True)
class Answer:
    """What a request brought: passages or a number, and the reads that it cost."""

    passages: tuple[Passage, ...] = ()
    number: int = 0
    reads: int = 0


class Source(Protocol):
    """One user's memory, with whatever filters were asked for."""

    def fetch(self, requests: Sequence[Request], question: Question) -> Sequence[Answer]:
        """One round: all requests side by side, answers in their order."""


@dataclass(frozen=True)
class Begun:
    """What the first round brought, request by request, and the question, which knows now whom it names."""

    question: Question
    exchanges: tuple[tuple[Request, Answer], ...]


@dataclass(frozen=True)
class Gathered:
    """A pool, what it cost, and the question, which knows now whom it names."""

    question: Question
    pool: Pool
    reads: int
    rounds: int


def budget(limit: int) -> int:
    """The most documents that a search for `limit` results reads."""
    return READS_PER_RESULT * max(limit, LEAST_LIMIT)


def gather(source: Source, question: Question, limit: int, weights: Weights = DEFAULT_WEIGHTS) -> Gathered:
    """Read the candidates for `limit` results, in two rounds at most."""
    return finish(source, begin(source, question, limit), limit, weights)


def begin(source: Source, question: Question, limit: int) -> Begun:
    """The first round, which is the same whatever the weights."""
    first = first_round(question, limit)
    if not first:
        return Begun(question, ())
    exchanges = tuple(zip(first, source.fetch(first, question), strict=True))
    speakers = {passage.speaker for _, answer in exchanges for passage in answer.passages}
    return Begun(naming(question, speakers), exchanges)


def finish(source: Source, begun: Begun, limit: int, weights: Weights) -> Gathered:
    """The second round, if anything is left to be asked for, and the pool of both."""
    if not begun.exchanges:
        return Gathered(begun.question, Pool({}, {}, {}, 0), 0, 0)
    exchanges, left = list(begun.exchanges), budget(limit) - _reads(begun.exchanges)
    if second := second_round(begun.question, exchanges, left, weights):
        exchanges += zip(second, source.fetch(second, begun.question), strict=True)
    return Gathered(begun.question, pool_of(exchanges), _reads(exchanges), 2 if second else 1)


def first_round(question: Question, limit: int) -> list[Request]:
    """What is asked for before anything is known; empty for a question without words and without a vector."""
    results = max(limit, LEAST_LIMIT)
    requests: list[Request] = []
    if question.vector is not None and question.vector.any():
        requests.append(Nearest(question.vector, int(NEAREST * results)))
    asked = question.terms[: TERMS_PER_RESULT * results]
    if asked:
        each = max(1, min(results, int(BY_TERMS * results) // len(asked)))
        requests += [WithTerm(term, each) for term in asked]
        requests += [Count(ENTRIES_PER_READ, term) for term in asked]
        requests.append(Count(WHOLE * results * ENTRIES_PER_READ))
    return requests


def second_round(
    question: Question, exchanges: Iterable[tuple[Request, Answer]], left: int, weights: Weights
) -> list[Request]:
    """What is asked for when the first round is known, for at most `left` reads."""
    exchanges = list(exchanges)
    deeper = _deeper(exchanges, left // 4)
    left -= sum(request.limit for request in deeper)
    best = rank(question, pool_of(exchanges), weights)[: left // (2 * SPAN)]
    return [*deeper, *(Around(ranked.passage) for ranked in best)]


def _deeper(exchanges: Iterable[tuple[Request, Answer]], reads: int) -> list[WithTerm]:
    """More passages with terms that were cut off, rarest first, with all reads that they need while these last."""
    exchanges = list(exchanges)
    numbers = {request.term: answer.number for request, answer in exchanges if isinstance(request, Count)}
    cut = [
        (numbers[request.term] - len(answer.passages), request.term, answer.passages[-1])
        for request, answer in exchanges
        if isinstance(request, WithTerm) and answer.passages and numbers[request.term] > len(answer.passages)
    ]
    deeper = []
    for missing, term, last in sorted(cut, key=lambda one: one[:2]):
        if reads <= 0:
            break
        deeper.append(WithTerm(term, min(missing, reads), before=last))
        reads -= missing
    return deeper


def pool_of(exchanges: Iterable[tuple[Request, Answer]]) -> Pool:
    """Everything that the requests brought, each passage once."""
    passages: dict[str, Passage] = {}
    following: dict[str, str] = {}
    frequencies: dict[str, int] = {}
    total = 0
    for request, answer in exchanges:
        for passage in answer.passages:
            known = passages.setdefault(passage.id, passage)
            if known.similarity is None and passage.similarity is not None:
                passages[passage.id] = replace(known, similarity=passage.similarity)
        match request:
            case Count(term=None):
                total = answer.number
            case Count(term=str(term)):
                frequencies[term] = answer.number
            case Around():
                following |= _links(answer.passages)
    return Pool(passages, following, frequencies, max(total, len(passages)))


def _links(passages: Sequence[Passage]) -> dict[str, str]:
    return {one.id: other.id for one, other in pairwise(passages)}


def _reads(exchanges: Iterable[tuple[Request, Answer]]) -> int:
    return sum(answer.reads for _, answer in exchanges)
