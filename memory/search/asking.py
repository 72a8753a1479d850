"""A question as the ranking sees it: its text, language and vectors, and the terms that are sought for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memory.embedding import Embedder, Vectors

from .corpus import Corpus
from .embedders.checked import query_vectors
from .languages import ENGLISH, detected
from .lexicon import Lexicon, lexicon_of
from .terms import MAX_QUERY_TERMS, index_terms, stop_terms, words

LEAST_SHARE = 0.05  # of a language's entries, whose stems a question is searched with
MOST_LANGUAGES = 4


@dataclass(frozen=True)
class Asked:
    """A question: its text and language, and its vectors as it is and without stop words (None without an embedder).

    `asker` is the speaker who asks; empty for the user of the memory.
    """

    text: str
    language: str
    vector: Vectors | None
    content_vector: Vectors | None
    lexicon: Lexicon | None
    asker: str = ""


def asked(text: str, embedder: Embedder | None = None, language: str | None = None, asker: str = "") -> Asked:
    """Prepare a question. `language` None: it is detected. Raises `EmbedderError`."""
    language = language or detected(text)
    if embedder is None:
        return Asked(text, language, None, None, None, asker)
    stops = stop_terms(ENGLISH)
    content = " ".join(word for word in words(text) if not stops.issuperset(index_terms(word, language)))
    vectors = query_vectors(embedder, list(dict.fromkeys((text, content or text))))
    return Asked(text, language, vectors[0], vectors[-1], lexicon_of(embedder), asker)


def sought_languages(question: Asked, corpus: Corpus) -> tuple[str, ...]:
    """The language of the question, and those that the corpus has most."""
    often = np.bincount(corpus.language, minlength=len(corpus.languages))
    common = np.argsort(-often)[:MOST_LANGUAGES]
    names = (corpus.languages[place] for place in common[often[common] >= LEAST_SHARE * len(corpus)].tolist())
    return tuple(dict.fromkeys((question.language, *names)))


def sought_terms(question: Asked, corpus: Corpus) -> tuple[frozenset[int], tuple[str, ...]]:
    """The speakers that the question names, and its terms in the languages of the corpus."""
    text = question.text
    every: dict[str, None] = {}
    for language in sought_languages(question, corpus):
        every |= dict.fromkeys(index_terms(text, language))
    called = {
        place: name
        for place, speaker in enumerate(corpus.speakers)
        if (name := set(index_terms(speaker, question.language))) and name <= every.keys()
    }
    stops = stop_terms(ENGLISH)
    sought = [term for term in every if term not in stops] or list(every)
    names = set[str]().union(*called.values())
    sought = [term for term in sought if term not in names] or sought
    return frozenset(called), tuple(sought[: 2 * MAX_QUERY_TERMS])
