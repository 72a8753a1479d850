"""Reads the items of a user that are in no segment, for a search: within bounds, whatever is stored.

    items --at most MOST_ITEMS, MOST_BYTES--> sources --glances--> the best ones are read whole, others in part

All that are read get an entry with time, session and vector. If their texts are more than `MOST_READ`, a glance at each
decides which of them, up to `MOST_CHOSEN`, are read: the question's words in its beginning, found by plain search, and
the cosine of its stored vector. The others' entries have only these words. What was not read whole is `waiting`, like
items that were not read at all, until a packer has indexed it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Final

import numpy as np
from django.db import connections
from numpy.typing import NDArray

from memory.backends.firestore.values.sizes import size_of
from memory.batches import batches
from memory.embedding import Vectors
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.snapshots import epoch_moment

from .asking import Asked
from .entries import BEGINNING
from .segment_cache import Base
from .tail import AT_ONCE, Known, Maker, Source, Stored, time_of, with_columns
from .terms import index_terms, stop_terms, with_ascii_digits, words
from .texts import Budget

MOST_ITEMS: Final = 2_000
"""Items that a search reads: some 50 ms of CPU on SQLite, 140 ms on Firestore. A half are the newest, the other half
those written first of all that are not indexed."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of these items in memory. Metadata count `METADATA_COST` times, since their values take longer to read."""
METADATA_COST: Final = 4

MOST_READ: Final = 150_000
"""Characters of texts that are all read whole, each text with `OF_EACH` more: about 0.2 s of CPU."""
MOST_CHOSEN: Final = 75_000
"""Of more texts, the characters that are read: half for the best texts, half for the beginnings of the next ones."""
MOST_EMBEDDED: Final = 4_000
"""Of these, the characters whose vectors are not estimates: about 0.1 s of CPU."""
OF_EACH: Final = 300
MOST_ESTIMATED: Final = 400
"""Texts, the best by words, whose vectors are estimated if items have none: some 50 ms of CPU."""
GLANCED: Final = 2_000
"""Characters of a text that a glance searches."""
MOST_SOUGHT: Final = 32
"""Words and stems that glances search for."""


@dataclass(frozen=True)
class Unindexed:
    """The entries of unindexed items, and how many items were not read whole."""

    stored: list[Stored]
    waiting: int = 0


def read_unindexed(
    user_id: str, using: str, since: int | None, base: Base, known: Known, maker: Maker, questions: Sequence[Asked]
) -> Unindexed:
    """The entries of a user's items written after `since` (None: all) that are neither in the base nor `known`.

    Questions decide which texts are read, if they are too many.
    """
    found = _Found(maker, base, known)
    items = MemoryItem.all_objects.using(using).for_user(user_id)
    newest = items.order_by("-timestamp")
    unread = 0
    if since is None:
        is_all = found.read(newest, MOST_ITEMS, MOST_BYTES)
        after = items
    else:
        after = items.filter(written__gt=epoch_moment(since))
        is_all = found.read(after.order_by("written"), MOST_ITEMS // 2, MOST_BYTES // 2)
        if not is_all:
            found.read(newest, MOST_ITEMS // 2, MOST_BYTES // 2)
    if not is_all:
        unread = max(0, after.order_by().count() - found.searched_after(since))
    stored = _stored(list(found.sources.values()), maker, questions)
    return Unindexed(stored, unread + sum(entry.is_partial for entry in stored))


def are_read_whole(characters: Collection[int]) -> bool:
    """Whether texts of these lengths are all read whole."""
    return sum(characters) + OF_EACH * len(characters) <= MOST_READ


@dataclass
class _Found:
    """What was read: sources by id, and when each item that was seen and is not in the base was written."""

    maker: Maker
    base: Base
    known: Known
    sources: dict[str, Source] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def read(self, items: MemoryItemQuerySet, most: int, most_bytes: int) -> bool:
        """Read the first `most` items, of `most_bytes`. Returns whether these are all."""
        rows = self._rows(items, most + 1)
        for count, item in enumerate(rows):
            if count == most or most_bytes <= 0:
                return False
            most_bytes -= self._add(item)
        return True

    def searched_after(self, since: int | None) -> int:
        """How many of the items written after `since` were seen, or are in the base."""
        least = -1 if since is None else since
        return sum(written > least for written in self.seen.values()) + int((self.base.segment.written > least).sum())

    def _add(self, item: MemoryItem | None) -> int:
        """Take an item, if it is not known. Returns what it costs."""
        if item is None:
            return 0
        if self._is_new(item.pk, time_of(item.written)):
            source = self.maker.source(item)
            self.sources[item.pk], self.seen[item.pk] = source, source.written
        return size_of(item.text_content) + METADATA_COST * size_of(item.metadata)

    def _is_new(self, identity: str, written: int) -> bool:
        if identity in self.seen or self.base.has(identity, written):
            return False
        is_known = self.known(identity, written)
        if is_known:
            self.seen[identity] = written
        return not is_known

    def _rows(self, items: MemoryItemQuerySet, most: int) -> Iterator[MemoryItem | None]:
        """The items; None for those that are known."""
        if connections[items.db].vendor == "firestore":  # a row costs the same with fewer columns
            yield from streamed(with_columns(items[:most]))
            return
        rows = items.values_list("pk", "written")[:most]
        new = [pk for pk, written in rows if self._is_new(pk, time_of(written))]
        yield from repeat(None, len(rows) - len(new))
        for ids in batches(new, AT_ONCE):
            yield from streamed(with_columns(MemoryItem.all_objects.using(items.db).filter(pk__in=ids)))


def _stored(sources: Sequence[Source], maker: Maker, questions: Sequence[Asked]) -> list[Stored]:
    """The entries of sources. Of equally good ones the newest are embedded first, if not all are."""
    sources = sorted(sources, key=lambda source: (-source.known["time"], source.known["id"]))
    if are_read_whole([len(source.text) for source in sources]):
        entries = maker.made(sources)
        return [
            Stored(entry, source.written, characters=len(source.text))
            for entry, source in zip(entries, sources, strict=True)
        ]
    glances = Glances.of([source.text for source in sources], questions)
    known: Sequence[Source] = sources
    for most in (MOST_ESTIMATED, 0):
        order = np.argsort(
            -glances.scores(np.array([_vector(source, maker) for source in known]), questions), kind="stable"
        )
        known = maker.estimated(known, order[:most].tolist())
    whole, partial = _chosen([len(sources[place].text) for place in order.tolist()])
    read = [int(order[place]) for place in (*whole, *partial)]
    begun = range(len(whole), len(read))
    within = replace(maker, budget=Budget(MOST_EMBEDDED))
    made = dict(zip(read, within.made([sources[place] for place in read], begun), strict=True))
    of_part = {read[place] for place in begun if len(sources[read[place]].text) > BEGINNING}
    language = questions[0].language if questions else ""
    return [
        Stored(made[place], source.written, place in of_part)
        if place in made
        else Stored(maker.glanced(source, language, glances.found(place)), source.written, is_partial=True)
        for place, source in enumerate(known)
    ]


def _chosen(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Of texts of these lengths, best first, the places of those that are read whole, and in part."""
    whole: list[int] = []
    left = MOST_CHOSEN // 2
    for place, length in enumerate(lengths):
        if length + OF_EACH <= left:
            whole.append(place)
            left -= length + OF_EACH
    partial: list[int] = []
    left += MOST_CHOSEN // 2
    taken = set(whole)
    for place, length in enumerate(lengths):
        if place not in taken and (cost := min(length, BEGINNING) + OF_EACH) <= left:
            partial.append(place)
            left -= cost
    return whole, partial


def _vector(source: Source, maker: Maker) -> Vectors:
    dimension = 0 if maker.embedder is None else maker.embedder.dimension
    row: Vectors = source.vectors[0] if len(source.vectors) else np.zeros(dimension, np.float32)
    return row


@dataclass(frozen=True, eq=False)
class Glances:
    """Which of the terms that are sought each text has. `has` is of shape (texts, terms)."""

    terms: tuple[str, ...]
    has: NDArray[np.bool_]
    of_question: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, texts: Sequence[str], questions: Sequence[Asked]) -> Glances:
        """Search the beginnings of texts for the words of questions."""
        share = max(2, MOST_SOUGHT // max(1, len(questions)))
        sought = [_sought(question, share) for question in questions]
        spelled = {term: spellings for spellings_of in sought for term, spellings in spellings_of.items()}
        number = {term: place for place, term in enumerate(spelled)}
        has = np.zeros((len(texts), len(spelled)), bool)
        for place, text in enumerate(texts):
            begins = with_ascii_digits(text[:GLANCED].casefold())
            has[place] = [any(spelling in begins for spelling in spellings) for spellings in spelled.values()]
        return cls(tuple(spelled), has, tuple(tuple(number[term] for term in terms) for terms in sought))

    def found(self, place: int) -> list[str]:
        """The terms of one text."""
        return [self.terms[term] for term in np.flatnonzero(self.has[place]).tolist()]

    def scores(self, vectors: Vectors, questions: Sequence[Asked]) -> NDArray[np.float64]:
        """How well each text answers the question that it answers best. `vectors` has a row for each text."""
        rarity = np.log(1 + len(self.has) / (1 + self.has.sum(axis=0)))
        best = np.zeros(len(self.has))
        for question, terms in zip(questions, self.of_question, strict=True):
            words_ = self.has[:, list(terms)] @ rarity[list(terms)]
            best = np.maximum(best, _ratio(words_) + _ratio(_cosines(vectors, question.vector)))
        return best


def _sought(question: Asked, most: int) -> Mapping[str, tuple[str, ...]]:
    """The terms of a question, each with the texts that show it: at most `most` terms and texts."""
    stops = stop_terms(question.language)
    found: dict[str, tuple[str, ...]] = {}
    for word in dict.fromkeys(words(question.text)):
        terms = index_terms(word, question.language)
        for term in terms:
            spellings = dict.fromkeys((word, term) if len(terms) == 1 else (term,))
            if term not in stops:
                found.setdefault(term, tuple(spellings))
    kept: dict[str, tuple[str, ...]] = {}
    for term, texts in found.items():
        if sum(map(len, kept.values())) + len(texts) <= most:
            kept[term] = texts
    return kept


def _cosines(vectors: Vectors, vector: Vectors | None) -> NDArray[Any]:
    """The cosines of vectors with the vector of a question, both minus the mean vector; not below 0."""
    if vector is None or not vectors.size:
        return np.zeros(len(vectors))
    has = vectors.any(axis=1)
    mean = vectors[has].mean(axis=0) if has.any() else np.zeros_like(vector)
    apart = vectors - mean
    lengths = np.linalg.norm(apart, axis=1)
    products = apart @ (vector - mean)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=has & (lengths > 1e-6))
    return np.asarray(cosines.clip(0))


def _ratio(values: NDArray[Any]) -> NDArray[np.float64]:
    most = float(values.max(initial=0.0))
    return np.asarray(values / most if most > 0 else np.zeros(len(values)), np.float64)
