"""Reads items of a user and makes their entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from django.db import connections

from memory.batches import batches
from memory.conf import configured_embedder, memory_settings
from memory.embedding import Embedder, EmbedderError, Vectors, is_remote, model_name
from memory.models import MemoryItem
from memory.snapshots import epoch_microseconds, epoch_moment

from .corpus import Entry
from .entries import Read, entry_of, glanced, read_text
from .terms import VERSION
from .texts import Budget, embed_within, readable

logger = logging.getLogger(__name__)

UNUSED: Final = ("embedding",)
AT_ONCE: Final = 100
ESTIMATED: Final = 100
"""Characters of a text that is not read from which its vector is estimated."""
ALONE: Final = "\0"
"""The first character of the session of an entry whose item has none. No session id contains it."""

Known: TypeAlias = Callable[[str, int], bool]
"""Whether the item of this id, written at this time (0: unknown), need not be read."""


@dataclass(frozen=True)
class Stored:
    """An entry, and when its item was written. `is_partial`: its text, of so many `characters`, was not read whole."""

    entry: Entry
    written: int
    is_partial: bool = False
    characters: int = 0


@dataclass(frozen=True)
class Source:
    """What the entry of an item is made of: the text that search reads, the vector of the text (no row: there is none,
    or of another model), and the arguments of `entry_of` that the text does not determine.
    """

    text: str
    vectors: Vectors
    written: int
    known: Mapping[str, Any]


@dataclass(frozen=True)
class Maker:
    """Makes entries for an embedder, and a language (None: that of each text).

    `strict` raises `EmbedderError` instead of leaving out vectors. `budget`: of texts beyond it vectors are estimates.
    """

    language: str | None
    embedder: Embedder | None
    strict: bool = False
    budget: Budget | None = None

    @property
    def model(self) -> str:
        """The stored name of the embedder; "" without one."""
        return "" if self.embedder is None else model_name(self.embedder)

    @property
    def rules(self) -> str:
        """The version of the entries: of the rules for words, and their language."""
        return f"{self.language or 'any'}@{VERSION}"

    def entries(self, items: Sequence[MemoryItem]) -> list[Entry]:
        """The entries of items, in their order."""
        return self.made([self.source(item) for item in items])

    def source(self, item: MemoryItem) -> Source:
        """What the entry of an item is made of."""
        known = {
            "id": item.pk,
            "time": epoch_microseconds(item.timestamp),
            "expiration": 0 if item.expiration is None else epoch_microseconds(item.expiration),
            "session": f"{ALONE}{item.pk}" if item.session_id is None else item.session_id,
            "speaker": memory_settings.speaker(item),
            "role": item.role,
            "hidden": bool(item.metadata.get("hidden")),
        }
        return Source(readable(item.text_content), self._stored(item), time_of(item.written), known)

    def made(self, sources: Sequence[Source], partial: Collection[int] = ()) -> list[Entry]:
        """The entries of sources, in their order. Of texts at the places in `partial` only the beginning is read."""
        read = [read_text(source.text, self.language, begins=place in partial) for place, source in enumerate(sources)]
        vectors = self._vectors([source.vectors for source in sources], read)
        return [
            entry_of(text_read, rows, **source.known)
            for source, text_read, rows in zip(sources, read, vectors, strict=True)
        ]

    def estimated(self, sources: Sequence[Source], places: Sequence[int]) -> list[Source]:
        """The sources; those at these places with estimates of the vectors that they lack.

        Only if the embedder has a fast way to make such.
        """
        quickly = getattr(self.embedder, "embed_quickly", None)
        lacking = [place for place in places if not len(sources[place].vectors)]
        if quickly is None or not lacking:
            return list(sources)
        made = dict(zip(lacking, quickly([sources[place].text[:ESTIMATED] for place in lacking]), strict=True))
        return [
            replace(source, vectors=made[place][None]) if place in made and made[place].any() else source
            for place, source in enumerate(sources)
        ]

    def glanced(self, source: Source, language: str, found: Iterable[str]) -> Entry:
        """An entry whose text was only searched for some terms, of which it has those in `found`."""
        return entry_of(glanced(source.text, self.language or language, found), source.vectors, **source.known)

    def _vectors(self, stored: list[Vectors], read: Sequence[Read]) -> list[Vectors]:
        """For each text its vector and those of its pieces; its own alone if the embedder is remote."""
        if self.embedder is None or is_remote(self.embedder):
            return stored
        missing = [text_read.texts[len(vectors) :] for text_read, vectors in zip(read, stored, strict=True)]
        texts = [text for texts_of_entry in missing for text in texts_of_entry]
        if not texts:
            return stored
        try:
            made = embed_within(self.budget, self.embedder, texts)
        except EmbedderError:
            if self.strict:
                raise
            logger.exception("%d items are searched without vectors.", len(stored))
            return stored
        ends = np.cumsum([len(texts_of_entry) for texts_of_entry in missing])
        return [
            np.concatenate([vectors, made[end - len(texts_of_entry) : end]]) if texts_of_entry else vectors
            for vectors, texts_of_entry, end in zip(stored, missing, ends, strict=True)
        ]

    def _stored(self, item: MemoryItem) -> Vectors:
        dimension = 0 if self.embedder is None else self.embedder.dimension
        vector = item.text_embedding
        if self.embedder is None or vector is None or item.embedding_model != self.model or len(vector) != dimension:
            return np.zeros((0, dimension), np.float32)
        return np.asarray([vector], np.float32)


def configured_maker(strict: bool = False) -> Maker:
    """The maker of the configured language and embedder."""
    embedder = memory_settings.embedder if strict else configured_embedder()
    return Maker(memory_settings.language, embedder, strict)


def read_items(user_id: str, using: str, since: int | None, known: Known) -> Iterator[list[MemoryItem]]:
    """A user's items written after `since` (None: all), in lists, without those that are `known` by id and time."""
    items = MemoryItem.all_objects.using(using).for_user(user_id).order_by()
    if since is not None:
        items = items.filter(written__gt=epoch_moment(since)).order_by("written")
    if connections[using].vendor == "firestore":  # a row costs the same with fewer columns
        rows = with_columns(items).iterator(chunk_size=AT_ONCE)
        yield from batches((item for item in rows if not known(item.pk, time_of(item.written))), AT_ONCE)
        return
    unknown = [pk for pk, written in items.values_list("pk", "written") if not known(pk, time_of(written))]
    for ids in batches(unknown, AT_ONCE):
        yield list(with_columns(MemoryItem.all_objects.using(using).filter(pk__in=ids)))


def stored_entries(user_id: str, using: str, since: int | None, known: Known, maker: Maker) -> Iterator[Stored]:
    """The entries of the items that `read_items` reads."""
    for items in read_items(user_id, using, since, known):
        for item, entry in zip(items, maker.entries(items), strict=True):
            yield Stored(entry, time_of(item.written))


def with_columns(items: Any) -> Any:
    """The queryset with the columns that entries are made of."""
    return items.defer(None).defer(*UNUSED)


def time_of(written: Any) -> int:
    """When an item was written, in microseconds since 1970; 0 if that is unknown."""
    return 0 if written is None else epoch_microseconds(written)
