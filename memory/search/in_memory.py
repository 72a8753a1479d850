"""A source with one user's passages in memory, for evaluations, the stub store and tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from .candidates import ENTRIES_PER_READ, Answer, Around, Count, Nearest, Request, WithTerm
from .context import all_in_context
from .cosines import nearest
from .embedders import Embedder, Vectors
from .passages import Passage, Question
from .texts import embed


class InMemorySource:
    """Passages and their vectors in context.

    `among` are the ids that may be found (default: all); other passages are context only.
    """

    def __init__(
        self, passages: Sequence[Passage], embedder: Embedder | None = None, among: Collection[str] | None = None
    ) -> None:
        as_said = sorted(passages, key=lambda one: (one.time, one.id))
        kept = [place for place, one in enumerate(as_said) if among is None or one.id in among][::-1]
        self._newest_first = [as_said[place] for place in kept]
        self._ids = [passage.id for passage in self._newest_first]
        self._index = {passage.id: place for place, passage in enumerate(self._newest_first)}
        self._by_term: dict[str, list[int]] = {}
        self._sessions: dict[str, list[int]] = {}
        for place, passage in enumerate(self._newest_first):
            for term in set(passage.terms):
                self._by_term.setdefault(term, []).append(place)
            self._sessions.setdefault(passage.session, []).insert(0, place)
        self._vectors: Vectors | None = None
        if embedder is not None:
            vectors = embed(embedder, [passage.text for passage in as_said])
            self._vectors = all_in_context(vectors, [passage.session for passage in as_said])[kept]

    def fetch(self, requests: Sequence[Request], question: Question) -> list[Answer]:
        """One round. Raises `KeyError` for `Around` of an unknown passage."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        match request:
            case Count(most=most, term=term):
                entries = len(self._newest_first) if term is None else len(self._by_term.get(term, ()))
                number = min(entries, most)
                return Answer(number=number, reads=max(1, -(-number // ENTRIES_PER_READ)))
            case Nearest(vector=vector, limit=limit):
                return self._nearest(vector, limit)
            case WithTerm(term=term, limit=limit, before=before):
                after = -1 if before is None else self._index[before.id]
                places = [place for place in self._by_term.get(term, ()) if place > after][:limit]
                return self._passages(places, max(1, len(places)))
            case Around(passage=passage, span=span):
                turns = self._sessions[passage.session]
                at = turns.index(self._index[passage.id])
                before_it, after_it = turns[max(0, at - span) : at], turns[at + 1 : at + 1 + span]
                reads = max(1, len(before_it)) + max(1, len(after_it))
                return self._passages([*before_it, turns[at], *after_it], reads)

    def _nearest(self, vector: Vectors, limit: int) -> Answer:
        if self._vectors is None:
            return Answer(reads=1)
        places = np.flatnonzero(self._vectors.any(axis=1))
        found = nearest(self._vectors, vector, self._ids, limit, places)
        near = (replace(self._newest_first[place], similarity=cosine) for place, cosine in found)
        return Answer(tuple(near), reads=max(1, len(found)))

    def _passages(self, places: Sequence[int], reads: int) -> Answer:
        return Answer(tuple(self._newest_first[place] for place in places), reads=reads)
