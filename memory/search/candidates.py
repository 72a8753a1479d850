"""Plans which documents a search reads: two rounds of requests within a budget. No I/O.

A source (Firestore, SQLite, a list in memory) answers the requests. Reads are counted as Firestore bills them: one per
returned document, one for a query without results, one per 1,000 index entries of a count.
https://cloud.google.com/firestore/pricing#operations

    reads <= 15 x max(limit, 10)

The first round requests the nearest vectors, a few passages with each term of the query, and the frequencies of the
terms. The second round uses the rest of the budget: three quarters for the turns around the best passages so far, one
quarter for more passages with the rarest terms whose results were cut off.
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
    """The newest passages with a term, newest first; with `before`, only those older than it."""

    term: str
    limit: int
    before: Passage | None = None


@dataclass(frozen=True)
class Count:
    """The number of passages, or of those with a term; counted up to `most`."""

    most: int
    term: str | None = None


@dataclass(frozen=True)
class Around:
    """The `span` turns before a known passage in its session, the passage, and the `span` turns after it."""

    passage: Passage
    span: int = SPAN


Request = Nearest | WithTerm | Count | Around


@dataclass(frozen=True)
class Answer:
    """The answer of a request: passages or a number, and the reads that it cost."""

    passages: tuple[Passage, ...] = ()
    number: int = 0
    reads: int = 0


class Source(Protocol):
    """One user's items that pass the filters of the search."""

    def fetch(self, requests: Sequence[Request], question: Question) -> Sequence[Answer]:
        """One round: the answers, in the order of the requests."""


@dataclass(frozen=True)
class Begun:
    """The first round: requests with their answers, and the question with the speakers that it names."""

    question: Question
    exchanges: tuple[tuple[Request, Answer], ...]


@dataclass(frozen=True)
class Gathered:
    """The pool of candidates, its cost, and the question with the speakers that it names."""

    question: Question
    pool: Pool
    reads: int
    rounds: int


def budget(limit: int) -> int:
    """The most reads of a search for `limit` results."""
    return READS_PER_RESULT * max(limit, LEAST_LIMIT)


def gather(source: Source, question: Question, limit: int, weights: Weights = DEFAULT_WEIGHTS) -> Gathered:
    """Read the candidates for `limit` results, in at most two rounds."""
    return finish(source, begin(source, question, limit), limit, weights)


def begin(source: Source, question: Question, limit: int) -> Begun:
    """The first round, which does not depend on the weights."""
    first = first_round(question, limit)
    if not first:
        return Begun(question, ())
    exchanges = tuple(zip(first, source.fetch(first, question), strict=True))
    speakers = {passage.speaker for _, answer in exchanges for passage in answer.passages}
    return Begun(naming(question, speakers), exchanges)


def finish(source: Source, begun: Begun, limit: int, weights: Weights) -> Gathered:
    """The second round, if it has requests, and the pool of both rounds."""
    if not begun.exchanges:
        return Gathered(begun.question, Pool({}, {}, {}, 0), 0, 0)
    exchanges, left = list(begun.exchanges), budget(limit) - _reads(begun.exchanges)
    if second := second_round(begun.question, exchanges, left, weights):
        exchanges += zip(second, source.fetch(second, begun.question), strict=True)
    return Gathered(begun.question, pool_of(exchanges), _reads(exchanges), 2 if second else 1)


def first_round(question: Question, limit: int) -> list[Request]:
    """The requests of the first round; empty for a question without words and vector."""
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
    """The requests of the second round, for at most `left` reads."""
    exchanges = list(exchanges)
    deeper = _deeper(exchanges, left // 4)
    left -= sum(request.limit for request in deeper)
    best = rank(question, pool_of(exchanges), weights)[: left // (2 * SPAN)]
    return [*deeper, *(Around(ranked.passage) for ranked in best)]


def _deeper(exchanges: Iterable[tuple[Request, Answer]], reads: int) -> list[WithTerm]:
    """Requests for more passages with terms whose results were cut off, rarest first, within `reads`."""
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
    """All answers as one pool, each passage once."""
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
