"""Compound words: terms of a memory that begin or end with a term of the question, or that it begins or ends with.

"Geschenk" and "Geburtstagsgeschenk", "Regal" and "Bücherregal". The memory's own terms are the dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .corpus import Corpus

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
            others = {*_longer(term, corpus), *_shorter(term, corpus)} - {corpus.term_places.get(term)}
            if others:
                found[term] = tuple(sorted(others)[:MOST])
    return found


def _shorter(term: str, corpus: Corpus) -> list[int]:
    parts = [part for cut in range(LEAST, len(term)) for part in (term[:cut], term[-cut:])]
    return [place for part in parts if part.isalpha() and (place := corpus.term_places.get(part)) is not None]


def _longer(term: str, corpus: Corpus) -> list[int]:
    """Found in one string of all terms, each between line ends: faster than to look at each."""
    joined, starts = corpus.joined_terms
    found: list[int] = []
    at, end = -1, len(term)
    for _ in range(MOST_SEEN):
        if (at := joined.find(term, at + 1)) < 0:
            break
        if joined[at - 1] == "\n" or joined[at + end] == "\n":
            found.append(int(np.searchsorted(starts, at, "right")) - 1)
    return [place for place in found if corpus.terms[place].isalpha()]
