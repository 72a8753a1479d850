"""The values that the stages of a search exchange: a question, passages, and the pool of candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from .embedders import Embedder, Vectors
from .embedders.checked import query_vector
from .lexicon import Lexicon, lexicon_of
from .terms import query_terms, stop_terms, terms, words


@dataclass(frozen=True)
class Passage:
    """A stored turn.

    `terms` are those of its text, in order. `similarity` is the cosine of its vector in context and the question's
    vector; None if the vector search did not return it.
    """

    id: str
    session: str
    speaker: str
    time: datetime
    text: str
    terms: tuple[str, ...]
    similarity: float | None = None
    role: str = ""


@dataclass(frozen=True)
class Question:
    """A query: its distinct terms, the speakers that it names, its vector (None without an embedder).

    `lexicon` has the vectors of single words; None without an embedder.
    """

    text: str
    terms: tuple[str, ...]
    speakers: frozenset[str]
    vector: Vectors | None
    stops: frozenset[str]
    language: str
    lexicon: Lexicon | None = None


@dataclass(frozen=True)
class Pool:
    """All candidates of one question.

    `following` maps the id of a passage to that of the next one in its session, if both were read together.
    `frequencies` are the numbers of passages with a term, among `total` passages; both may be capped.
    """

    passages: Mapping[str, Passage]
    following: Mapping[str, str]
    frequencies: Mapping[str, int]
    total: int


def ask(text: str, language: str, embedder: Embedder | None = None) -> Question:
    """Prepare a question. `naming` adds the speakers that it names, once passages are known."""
    sought = query_terms(text, language)
    vector = None
    if embedder is not None:
        kept = [word for word in words(text) if set(terms(word, language)) & set(sought)]
        vector = query_vector(embedder, " ".join(kept) or text)
    return Question(text, tuple(sought), frozenset(), vector, stop_terms(language), language, lexicon_of(embedder))


def naming(question: Question, speakers: Iterable[str]) -> Question:
    """The question with the speakers that it names; their names are then not searched as words."""
    asked = set(terms(question.text, question.language))
    named = {
        speaker: name for speaker in speakers if (name := set(terms(speaker, question.language))) and name <= asked
    }
    names = set().union(*named.values())
    sought = tuple(term for term in question.terms if term not in names) or question.terms
    return replace(question, terms=sought, speakers=frozenset(named))
