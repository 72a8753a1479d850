"""SQLite: terms by an inverted table, vectors by numpy, all else by querysets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from memory.search.candidates import Answer, Around, Count, Having, Nearest, Request
from memory.search.passages import Question
from memory.search.recall import one_user_of

from .base import DIGITS, Memory, is_alone, of_items, of_neighbours, of_number
from .matrix import Matrix, matrices
from .side_tables import TERMS

if TYPE_CHECKING:
    from memory.models import MemoryItem
    from memory.querysets import MemoryItemQuerySet

FIRST_LOOK: Final = 4
"""Nearest vectors that are looked at first, for each that is wanted: most pass the filters of most searches."""


class SQLiteSource:
    """One user's items in SQLite."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.user_id = one_user_of(memory.items)

    def fetch(self, requests: Sequence[Request], question: Question) -> list[Answer]:
        """One round, one request after the other."""
        return self.memory.with_similarities([self._answer(request) for request in requests], question)

    def _answer(self, request: Request) -> Answer:
        memory = self.memory
        match request:
            case Nearest():
                return self._nearest(request)
            case Having(term=term, limit=limit, before=before):
                rows = memory.newest_first() if before is None else memory.before(before)
                return of_items(memory, self._having(rows, term)[:limit])
            case Count(term=None, most=most):
                return of_number(memory.items[:most].count())
            case Count(term=str(term), most=most):
                return of_number(self._having(memory.items, term)[:most].count())
            case Around(passage=passage) if is_alone(passage):
                return Answer((passage,))
            case Around(passage=passage, span=span):
                before_it = memory.before(passage).in_session(passage.session)[:span]
                after_it = memory.after(passage).in_session(passage.session)[:span]
                return of_neighbours(memory, passage, list(before_it), list(after_it))

    def _having(self, rows: MemoryItemQuerySet, term: str) -> MemoryItemQuerySet:
        """The rows with a term, in the order of the inverted table, which is newest first."""
        joined = rows.extra(  # noqa: S610  (names, and parameters)
            tables=[TERMS],
            where=[f"{TERMS}.item_id = memory_items.id", f"{TERMS}.user_id = %s", f"{TERMS}.term = %s"],
            params=[self.user_id, term],
        )
        return joined.extra(order_by=[f"-{TERMS}.timestamp", f"-{TERMS}.item_id"])

    def _nearest(self, request: Nearest) -> Answer:
        memory = self.memory
        if memory.embedder is None:
            return of_items(memory, [])
        matrix = matrices.current(memory.items.db, self.user_id, memory.model, memory.embedder.dimension)
        similarities = np.round(matrix.vectors @ request.vector, DIGITS)
        found = self._first_that_pass(matrix, similarities, request.limit)
        passages = tuple(memory.passage(item, cosine) for item, cosine in found)
        return Answer(passages, reads=max(1, len(passages)))

    def _first_that_pass(self, matrix: Matrix, similarities: np.ndarray, limit: int) -> list[tuple[MemoryItem, float]]:
        """The nearest items that pass the queryset's filters."""
        rows = self.memory.items.without_search_data()
        places = nearest_places(matrix, similarities, FIRST_LOOK * limit)
        passing = rows.in_bulk([matrix.ids[place] for place in places])
        if len(passing) < limit and len(places) < len(matrix.ids):
            allowed = set(rows.values_list("pk", flat=True))
            mask = np.fromiter((name in allowed for name in matrix.ids), bool, len(matrix.ids))
            places = nearest_places(matrix, np.where(mask, similarities, -np.inf), limit)
            passing = rows.in_bulk([matrix.ids[place] for place in places])
        inside = [place for place in places if matrix.ids[place] in passing][:limit]
        return [(passing[matrix.ids[place]], float(similarities[place])) for place in inside]


def nearest_places(matrix: Matrix, similarities: np.ndarray, limit: int) -> list[int]:
    """The places of the highest similarities, highest first; of equal ones the lower id first."""
    places = np.arange(len(similarities))
    if len(places) > limit:
        least = np.partition(similarities, -limit)[-limit]
        places = np.flatnonzero(similarities >= least)
    ordered = sorted(places.tolist(), key=lambda place: (-similarities[place], matrix.ids[place]))
    return ordered[:limit]
