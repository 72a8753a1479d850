"""A source that holds one user's passages in memory: for the evaluation, and for tests of what reads from sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .candidates import ENTRIES_PER_READ, Answer, Around, Count, Having, Nearest, Request
from .embedders import Embedder, Vectors
from .indexing import embed
from .passages import Passage, Question
from .sources.base import DIGITS


class InMemorySource:
    """Passages with their vectors. Every passage that it returns has its similarity, as far as there is an embedder."""

    def __init__(self, passages: Sequence[Passage], embedder: Embedder | None = None) -> None:
        self._newest_first = sorted(passages, key=lambda one: (one.time, one.id), reverse=True)
        self._index = {passage.id: place for place, passage in enumerate(self._newest_first)}
        self._by_term: dict[str, list[int]] = {}
        self._sessions: dict[str, list[int]] = {}
        for place, passage in enumerate(self._newest_first):
            for term in set(passage.terms):
                self._by_term.setdefault(term, []).append(place)
            self._sessions.setdefault(passage.session, []).insert(0, place)
        self._vectors: Vectors | None = None
        if embedder is not None:
            self._vectors = embed(embedder, [passage.text for passage in self._newest_first])

    def fetch(self, requests: Sequence[Request], question: Question) -> list[Answer]:
        """One round. Raises `KeyError` for the surroundings of a passage that is not here."""
        similarities = None
        if self._vectors is not None and question.vector is not None:
            similarities = np.round(self._vectors @ question.vector, DIGITS)
        return [self._answer(request, similarities) for request in requests]

    def _answer(self, request: Request, similarities: Vectors | None) -> Answer:
        match request:
            case Count(most=most, term=term):
                entries = len(self._newest_first) if term is None else len(self._by_term.get(term, ()))
                number = min(entries, most)
                return Answer(number=number, reads=max(1, -(-number // ENTRIES_PER_READ)))
            case Nearest(limit=limit):
                nearest = [] if similarities is None else self._nearest(similarities)[:limit]
                return self._passages(nearest, similarities, max(1, len(nearest)))
            case Having(term=term, limit=limit, before=before):
                after = -1 if before is None else self._index[before.id]
                places = [place for place in self._by_term.get(term, ()) if place > after][:limit]
                return self._passages(places, similarities, max(1, len(places)))
            case Around(passage=passage, span=span):
                turns = self._sessions[passage.session]
                at = turns.index(self._index[passage.id])
                before_it, after_it = turns[max(0, at - span) : at], turns[at + 1 : at + 1 + span]
                reads = max(1, len(before_it)) + max(1, len(after_it))
                return self._passages([*before_it, turns[at], *after_it], similarities, reads)

    def _nearest(self, similarities: Vectors) -> list[int]:
        """The places of the passages that say something to the model, nearest first."""
        order: list[int] = np.argsort(-similarities, kind="stable").tolist()
        return [place for place in order if self._vectors is not None and self._vectors[place].any()]

    def _passages(self, places: Sequence[int], similarities: Vectors | None, reads: int) -> Answer:
        found = (self._newest_first[place] for place in places)
        if similarities is not None:
            found = (
                replace(passage, similarity=float(similarities[place]))
                for place, passage in zip(places, found, strict=True)
            )
        return Answer(tuple(found), reads=reads)
