"""Compound words: terms of a memory that begin or end with a term of the question, or that it begins or ends with.

"Geschenk" and "Geburtstagsgeschenk", "Regal" and "Bücherregal". The memory's own terms are the dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .corpus import Corpus
from .vocabulary import END

COMPOUNDING = frozenset({"danish", "dutch", "estonian", "finnish", "german", "hungarian", "norwegian", "swedish"})
"""Languages that write compounds as one word. In English nothing was gained."""

LEAST = 4
"""Letters that two terms must share."""

MOST = 50
"""Other terms for a term of the question."""

MOST_SEEN = 4_000
"""Occurrences of a term in others that are looked at."""

SHARE = 0.5
"""What an occurrence of another term counts."""


def kin(terms: Sequence[str], corpus: Corpus) -> Mapping[str, tuple[int, ...]]:
    """For each term the places of the corpus's terms that have it as their beginning or end, or are one of it."""
    found = {}
    for term in terms:
        if len(term) >= LEAST and term.isalpha():
            others = {*_longer(term, corpus), *_shorter(term, corpus)} - {corpus.terms.place_of(term)}
            if others:
                found[term] = tuple(sorted(others)[:MOST])
    return found


def _shorter(term: str, corpus: Corpus) -> list[int]:
    parts = [part for cut in range(LEAST, len(term)) for part in (term[:cut], term[-cut:])]
    return [place for part in parts if part.isalpha() and (place := corpus.terms.place_of(part)) is not None]


def _longer(term: str, corpus: Corpus) -> list[int]:
    """Found in the text of all terms, each between line ends: faster than to look at each."""
    every, sought = corpus.terms.text, term.encode()
    found: list[int] = []
    at, end = -1, len(sought)
    for _ in range(MOST_SEEN):
        if (at := every.find(sought, at + 1)) < 0:
            break
        if END[0] in (every[at - 1], every[at + end]):
            found.append(corpus.terms.at(at))
    return [place for place in found if corpus.terms[place].isalpha()]
