"""What the stages of a search hand to each other: a question, passages, and the pool of candidates."""

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
    """A remembered turn.

    `terms` are its text's, in order; `similarity` is the cosine of its vector, which is one of the turn in its context
    (`context`), and the question's: of those that a vector search found, and None of all others.
    """

    id: str
    session: str
    speaker: str
    time: datetime
    text: str
    terms: tuple[str, ...]
    similarity: float | None = None


@dataclass(frozen=True)
class Question:
    """What is asked: its distinct terms, the speakers that it names, its vector (None without an embedder).

    `lexicon` tells how near single words are; None without an embedder.
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
    """All that was read for one question.

    `following` maps a passage's id to the next one's in its session, where the two were read side by side.
    `frequencies` are the numbers of passages with a term, in a memory of `total` passages; both may be capped.
    """

    passages: Mapping[str, Passage]
    following: Mapping[str, str]
    frequencies: Mapping[str, int]
    total: int


def ask(text: str, language: str, embedder: Embedder | None = None) -> Question:
    """Prepare a question; who of those that it may name are speakers, `naming` finds when some passages are read."""
    sought = query_terms(text, language)
    vector = None
    if embedder is not None:
        kept = [word for word in words(text) if set(terms(word, language)) & set(sought)]
        vector = query_vector(embedder, " ".join(kept) or text)
    return Question(text, tuple(sought), frozenset(), vector, stop_terms(language), language, lexicon_of(embedder))


def naming(question: Question, speakers: Iterable[str]) -> Question:
    """The question, knowing which of the speakers it names: they tell who spoke, and are no words to look for."""
    asked = set(terms(question.text, question.language))
    named = {
        speaker: name for speaker in speakers if (name := set(terms(speaker, question.language))) and name <= asked
    }
    names = set().union(*named.values())
    sought = tuple(term for term in question.terms if term not in names) or question.terms
    return replace(question, terms=sought, speakers=frozenset(named))
