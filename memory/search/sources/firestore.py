"""The source for Firestore: each request is a native query, and a round sends its queries at once.

Firestore compares vectors and terms; they are not transferred. Filters that no index serves together with them, such as
a key of a map, are evaluated first: the items that pass are read, and searched in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

from django.db.models import QuerySet

from memory.backends.firestore.batch_fetch import Counted, fetch
from memory.backends.firestore.errors import MissingIndex
from memory.distances import CosineDistance
from memory.embedding import is_remote
from memory.models import MemoryItem
from memory.querysets.scan import CHUNK_SIZE
from memory.search.candidates import Answer, Around, Count, Nearest, Request, WithTerm
from memory.search.cosines import DIGITS
from memory.search.in_memory import InMemorySource
from memory.search.passages import Question

from .base import Memory, is_alone, of_items, of_neighbours, of_number

logger = logging.getLogger(__name__)

Asked: TypeAlias = "QuerySet[Any] | Counted"


class FirestoreSource:
    """One user's items in Firestore."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.names = memory.names
        self.loaded: InMemorySource | None = None

    def fetch(self, requests: Sequence[Request], question: Question) -> list[Answer]:
        """One round: all requests at once."""
        if self.loaded is None:
            try:
                return self._fetch(requests)
            except MissingIndex as error:
                logger.info("A search reads all items that pass its filters: %s", error)
                self.loaded = self._load()
        return self.loaded.fetch(requests, question)

    def _load(self) -> InMemorySource:
        """All items that pass the filters, at most `OPTIONS["mirror_limit"]`."""
        memory = self.memory
        rows: Any = memory.items.without_index().only(*self.names)
        passages = [memory.passage(item) for item in memory.budget.take(rows.iterator(chunk_size=CHUNK_SIZE))]
        embedder = memory.embedder
        return InMemorySource(passages, None if embedder is None or is_remote(embedder) else embedder)

    def _fetch(self, requests: Sequence[Request]) -> list[Answer]:
        asked = [list(self._asked(request)) for request in requests]
        found = iter(fetch([one for some in asked for one in some], budget=self.memory.budget))
        return [
            self._answer(request, list(islice(found, len(some)))) for request, some in zip(requests, asked, strict=True)
        ]

    def _asked(self, request: Request) -> Iterator[Asked]:
        memory = self.memory
        match request:
            case Nearest(vector=vector, limit=limit):
                of_model = memory.items.filter(embedding_model=memory.model)
                measured = of_model.annotate(distance=CosineDistance("text_embedding", vector.tolist()))
                nearest = measured.filter(distance__isnull=False).order_by("distance")
                yield nearest.values_list(*self.names, "distance")[:limit]
            case WithTerm(term=term, limit=limit, before=before):
                rows = memory.newest_first() if before is None else memory.before(before)
                yield self._rows(rows.filter(terms__has=term), limit)
            case Count(term=None, most=most):
                yield Counted(memory.newest_first()[:most])
            case Count(term=term, most=most):
                # Ordered like the query above, so both use one index.
                yield Counted(memory.newest_first().filter(terms__has=term)[:most])
            case Around(passage=passage, span=span) if not is_alone(passage):
                yield self._rows(memory.before(passage).in_session(passage.session), span)
                yield self._rows(memory.after(passage).in_session(passage.session), span)

    def _rows(self, rows: Any, limit: int) -> QuerySet[Any]:
        found: QuerySet[Any] = rows.values_list(*self.names)[:limit]
        return found

    def _answer(self, request: Request, found: Sequence[Any]) -> Answer:
        memory = self.memory
        match request:
            case Nearest():
                near = [(self._item(row), row[-1]) for row in found[0]]
                passages = tuple(memory.passage(item, round(1 - distance, DIGITS)) for item, distance in near)
                return Answer(passages, reads=max(1, len(passages)))
            case WithTerm():
                return of_items(memory, self._items(found[0]))
            case Count():
                return of_number(found[0])
            case Around(passage=passage) if is_alone(passage):
                return Answer((passage,))
            case Around(passage=passage):
                return of_neighbours(memory, passage, self._items(found[0]), self._items(found[1]))

    def _items(self, rows: Iterable[Sequence[Any]]) -> list[MemoryItem]:
        return [self._item(row) for row in rows]

    def _item(self, row: Sequence[Any]) -> MemoryItem:
        memory = self.memory
        return memory.items.model.from_db(memory.items.db, self.names, row[: len(self.names)])
