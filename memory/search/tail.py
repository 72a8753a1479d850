"""Reads items of a user and makes their entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from django.db import connections

from memory.backends.firestore.values.batching import batches
from memory.conf import configured_embedder, memory_settings
from memory.embedding import Embedder, EmbedderError, Vectors, is_remote, model_name
from memory.models import MemoryItem
from memory.snapshots import epoch_microseconds, epoch_moment

from .corpus import Entry
from .entries import BEGINNING, Read, entry_of, read_text
from .terms import VERSION
from .texts import embed, readable

logger = logging.getLogger(__name__)

UNUSED: Final = ("embedding",)
AT_ONCE: Final = 100
ALONE: Final = "\0"
"""The first character of the session of an entry whose item has none. No session id contains it."""

Known: TypeAlias = Callable[[str, int], bool]
"""Whether the item of this id, written at this time (0: unknown), need not be read."""


@dataclass(frozen=True)
class Stored:
    """An entry, and when its item was written. `is_partial`: of its text only the beginning was read."""

    entry: Entry
    written: int
    is_partial: bool = False


@dataclass(frozen=True)
class Maker:
    """Makes entries for an embedder, and a language (None: that of each text).

    `strict` raises `EmbedderError` instead of leaving out vectors.
    """

    language: str | None
    embedder: Embedder | None
    strict: bool = False

    @property
    def model(self) -> str:
        """The stored name of the embedder; "" without one."""
        return "" if self.embedder is None else model_name(self.embedder)

    @property
    def rules(self) -> str:
        """The version of the entries: of the rules for words, and their language."""
        return f"{self.language or 'any'}@{VERSION}"

    def entries(self, items: Sequence[MemoryItem], partial: Collection[int] = ()) -> list[Entry]:
        """The entries of items, in their order. Of the items at the places in `partial`, only the beginning is read."""
        read = [
            read_text(item.text_content, self.language, begins=place in partial) for place, item in enumerate(items)
        ]
        vectors = self._vectors(items, read)
        return [self._entry(*each) for each in zip(items, read, vectors, strict=True)]

    def _entry(self, item: MemoryItem, read: Read, vectors: Vectors) -> Entry:
        return entry_of(
            read,
            vectors,
            id=item.pk,
            time=epoch_microseconds(item.timestamp),
            expiration=0 if item.expiration is None else epoch_microseconds(item.expiration),
            session=f"{ALONE}{item.pk}" if item.session_id is None else item.session_id,
            speaker=memory_settings.speaker(item),
            role=item.role,
            hidden=bool(item.metadata.get("hidden")),
        )

    def _vectors(self, items: Sequence[MemoryItem], read: Sequence[Read]) -> list[Vectors]:
        """For each item the vectors of its text and of its pieces; the text's alone if the embedder is remote."""
        stored = [self._stored(item) for item in items]
        if self.embedder is None or is_remote(self.embedder):
            return stored
        missing = [one.texts[len(vectors) :] for one, vectors in zip(read, stored, strict=True)]
        texts = [text for some in missing for text in some]
        if not texts:
            return stored
        try:
            made = embed(self.embedder, texts)
        except EmbedderError:
            if self.strict:
                raise
            logger.exception("%d items are searched without vectors.", len(items))
            return stored
        ends = np.cumsum([len(some) for some in missing])
        return [
            np.concatenate([vectors, made[end - len(some) : end]]) if some else vectors
            for vectors, some, end in zip(stored, missing, ends, strict=True)
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
        rows = _with_columns(items).iterator(chunk_size=AT_ONCE)
        yield from batches((item for item in rows if not known(item.pk, _time_of(item.written))), AT_ONCE)
        return
    unknown = [pk for pk, written in items.values_list("pk", "written") if not known(pk, _time_of(written))]
    for some in batches(unknown, AT_ONCE):
        yield list(_with_columns(MemoryItem.all_objects.using(using).filter(pk__in=some)))


def stored_entries(
    user_id: str, using: str, since: int | None, known: Known, maker: Maker, most_characters: int | None = None
) -> Iterator[Stored]:
    """The entries of the items that `read_items` reads. After `most_characters` of texts (None: all), long texts are
    read in part.
    """
    read = 0
    for items in read_items(user_id, using, since, known):
        partial = set()
        for place, item in enumerate(items):
            length = len(readable(item.text_content))
            if most_characters is not None and length > BEGINNING and read + length > most_characters:
                partial.add(place)
            else:
                read += length
        for place, (item, entry) in enumerate(zip(items, maker.entries(items, partial), strict=True)):
            yield Stored(entry, _time_of(item.written), place in partial)


def _with_columns(items: Any) -> Any:
    return items.defer(None).defer(*UNUSED)


def _time_of(written: Any) -> int:
    return 0 if written is None else epoch_microseconds(written)
