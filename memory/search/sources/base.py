"""Shared by the sources: one user's items as querysets, and answers made from rows.

All rows that a source returns satisfy the filters of the searched queryset: candidates and the turns around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from django.db.models import Q

from memory.backends.firestore.values.sizes import ByteBudget
from memory.embedding import model_name
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.search.candidates import ENTRIES_PER_READ, Answer
from memory.search.embedders import Embedder
from memory.search.kept import kept_by_text
from memory.search.passages import Passage
from memory.search.terms import terms
from memory.search.texts import readable

# A session name for an item without a session. No session id contains a NUL.
ALONE = "\0{id}"
# Bytes of all items that a search reads. The rest of its candidates is left out.
MOST_BYTES = 48 * 1024 * 1024
# Characters of all candidates that are compared with the question. While much is left, each passage may be long; when
# little is left, the start of each passage is compared.
MOST_CHARACTERS, LARGEST_SHARE, LEAST_CHARACTERS = 300_000, 16, 200


@dataclass
class Memory:
    """One user's items and the configuration of a search. `found` holds the items that were read, by id.

    `budget` is for the bytes of items that are read, `characters` for what is compared of their texts.
    """

    items: MemoryItemQuerySet
    language: str
    embedder: Embedder | None
    speaker: Callable[[MemoryItem], str]
    found: dict[str, MemoryItem] = field(default_factory=dict)
    budget: ByteBudget = field(default_factory=lambda: ByteBudget(MOST_BYTES))
    characters: int = MOST_CHARACTERS
    _texts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def model(self) -> str:
        """The stored name of the embedder."""
        return "" if self.embedder is None else model_name(self.embedder)

    @cached_property
    def names(self) -> list[str]:
        """The columns of results: all but vectors and fields that only search reads."""
        model = self.items.model
        unread = {*model.UNREAD_FIELDS, "embedding"}
        return [field.attname for field in model._meta.concrete_fields if field.name not in unread]

    def newest_first(self) -> MemoryItemQuerySet:
        """The items, newest first."""
        return self.items.newest_first()

    def before(self, passage: Passage) -> MemoryItemQuerySet:
        """The items that are older than a passage, newest first."""
        earlier = Q(timestamp__lt=passage.time) | Q(timestamp=passage.time, id__lt=passage.id)
        return self.newest_first().filter(earlier)

    def after(self, passage: Passage) -> MemoryItemQuerySet:
        """The items that are newer than a passage, oldest first."""
        later = Q(timestamp__gt=passage.time) | Q(timestamp=passage.time, id__gt=passage.id)
        return self.newest_first().filter(later).order_by("timestamp", "id")

    def passage(self, item: MemoryItem, similarity: float | None = None) -> Passage:
        """An item as the ranking sees it."""
        self.found.setdefault(item.pk, item)
        text = self._compared(item)
        session = ALONE.format(id=item.pk) if item.session_id is None else item.session_id
        said = _terms_of(text, self.language)
        return Passage(item.pk, session, self.speaker(item), item.timestamp, text, said, similarity)

    def _compared(self, item: MemoryItem) -> str:
        """The part of an item's text that is compared, the same each time that it is read."""
        known = self._texts.get(item.pk)
        if known is None:
            share = max(LEAST_CHARACTERS, self.characters // LARGEST_SHARE)
            known = self._texts[item.pk] = readable(item.text_content)[:share]
            self.characters -= len(known)
        return known


@kept_by_text
def _terms_of(text: str, language: str) -> tuple[str, ...]:
    return tuple(terms(text, language))


def of_items(memory: Memory, items: Iterable[MemoryItem]) -> Answer:
    """The answer of a query for items. A query without results is billed as one read."""
    passages = tuple(memory.passage(item) for item in items)
    return Answer(passages, reads=max(1, len(passages)))


def of_number(number: int) -> Answer:
    """The answer of a count, billed per thousand index entries."""
    return Answer(number=number, reads=max(1, -(-number // ENTRIES_PER_READ)))


def of_neighbours(
    memory: Memory, passage: Passage, before: Sequence[MemoryItem], after: Sequence[MemoryItem]
) -> Answer:
    """A passage between those around it; `before` is newest first, `after` oldest first."""
    sides = [memory.passage(item) for item in reversed(before)], [memory.passage(item) for item in after]
    reads = max(1, len(before)) + max(1, len(after))
    return Answer((*sides[0], passage, *sides[1]), reads=reads)


def is_alone(passage: Passage) -> bool:
    """Whether a passage belongs to no session, so there are no turns around it."""
    return passage.session == ALONE.format(id=passage.id)
