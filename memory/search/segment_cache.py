"""The cache of indexes in a process: decoded segments, and entries of tails. Bounded in bytes; the least recently used
memories are dropped first.

Segments never change, so a cached one is never wrong. The directory, which each search reads, says which of them count.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory.conf import memory_settings
from memory.tombstones import tombstones

from .appending import appended
from .corpus import Corpus
from .features.related import MOST_KEPT_WORDS, WORD_DIMENSIONS
from .segments import Segment
from .summaries import Summaries
from .tail import Stored

Owner: TypeAlias = tuple[str, str, str]
"""An alias of a database, a user, and the model of the vectors."""

DERIVED_BYTES: Final = 400
"""About the bytes of what ranking derives of an entry: neighbours, signs, the terms of each entry."""
TERM_BYTES: Final = 8
"""Of a term; and of each word vector that is kept, at most `features.MOST_KEPT_WORDS`:"""
WORD_BYTES: Final = 4 * WORD_DIMENSIONS
ENTRY_BYTES: Final = 4_000
"""About the bytes of an entry of a tail, and of each of its pieces."""
MOST_NEW: Final = 0.2
"""Of more entries than this share, a base is made anew."""


@dataclass(frozen=True, eq=False)
class Base:
    """The entries of all segments of a directory, without those that a newer one of the same item replaces.

    `owner` has for each entry the place of its segment in `ids`.
    """

    ids: tuple[str, ...]
    segment: Segment
    owner: NDArray[np.int32]

    @classmethod
    def of(cls, segments: Mapping[str, Segment]) -> Base:
        """The base of segments, by id."""
        owner = np.repeat(np.arange(len(segments), dtype=np.int32), [len(segment) for segment in segments.values()])
        return cls(tuple(segments), Segment.concat(list(segments.values())), owner)._newest_only()

    def within(self, ids: Collection[str]) -> Base:
        """The part of some of the segments."""
        if set(self.ids) <= set(ids):
            return self
        kept = [place for place, identity in enumerate(self.ids) if identity in ids]
        moved = np.full(len(self.ids), -1, np.int32)
        moved[kept] = np.arange(len(kept), dtype=np.int32)
        mask = moved[self.owner] >= 0
        return Base(tuple(self.ids[place] for place in kept), self.segment.take(mask), moved[self.owner[mask]])

    def with_segments(self, segments: Mapping[str, Segment]) -> Base:
        """This and further segments."""
        if not segments:
            return self
        more = [
            np.full(len(segment), len(self.ids) + place, np.int32) for place, segment in enumerate(segments.values())
        ]
        whole = Segment.concat([self.segment, *segments.values()])
        return Base((*self.ids, *segments), whole, np.concatenate([self.owner, *more]))._newest_only()

    def updated(self, ids: Sequence[str], segments: Mapping[str, Segment]) -> Base | None:
        """The base of these segments, of which `segments` are new, if only entries are added; otherwise None.

        Entries of a segment that was merged into a new one stay where they are.
        """
        new = Segment.concat(list(segments.values()))
        if len(new) > MOST_NEW * len(self.segment) or len(set(new.corpus.ids)) < len(new):
            return None
        number = {identity: place for place, identity in enumerate(ids)}
        owner = np.array([number.get(identity, -1) for identity in self.ids], np.int32)[self.owner]
        owners = np.repeat(
            [number[identity] for identity in segments], [len(segment) for segment in segments.values()]
        ).astype(np.int32)
        places = self.places_of(new.corpus.ids)
        at = np.array([places.get(identity, -1) for identity in new.corpus.ids], np.intp)
        known, there = at >= 0, at[at >= 0]
        if (owner[there] >= 0).any() or (self.segment.written[there] != new.written[known]).any():
            return None
        owner[there] = owners[known]
        if (owner < 0).any():
            return None
        more = new.take(~known)
        segment = Segment(
            appended(self.segment.corpus, more.corpus), np.concatenate([self.segment.written, more.written])
        )
        return Base(tuple(ids), segment, np.concatenate([owner, owners[~known]]))

    def without(self, places: NDArray[Any]) -> Base:
        """Without the entries at these places."""
        mask = np.ones(len(self.segment), bool)
        mask[places] = False
        return self if mask.all() else Base(self.ids, self.segment.take(mask), self.owner[mask])

    def places_of(self, ids: Collection[str]) -> dict[str, int]:
        """The places of the entries of these items, by id; others are left out."""
        hashes, places = self._hashes
        found = {}
        for identity in ids:
            number = hash(identity)
            at = int(np.searchsorted(hashes, number))
            while at < len(hashes) and hashes[at] == number:
                if self.segment.corpus.ids[places[at]] == identity:
                    found[identity] = int(places[at])
                at += 1
        return found

    def has(self, identity: str, written: int) -> bool:
        """Whether there is an entry of this item, as it was written then."""
        place = self.places_of([identity]).get(identity)
        return place is not None and int(self.segment.written[place]) == written

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        return _bytes_of(self.segment.corpus)

    @cached_property
    def _hashes(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """The hashes of the ids in order, and their places: a dict of ids takes ten times as much."""
        ids = self.segment.corpus.ids
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def _newest_only(self) -> Base:
        ids = self.segment.corpus.ids
        hashes, _ = self._hashes
        if len(set(self.owner.tolist())) < 2 or not (hashes[1:] == hashes[:-1]).any():
            return self
        newest: dict[str, int] = {}
        written = self.segment.written
        for place, identity in enumerate(ids):
            known = newest.setdefault(identity, place)
            # Of two segments with the same item, the one that is listed later is younger.
            if (written[place], self.owner[place]) >= (written[known], self.owner[known]):
                newest[identity] = place
        gone = np.setdiff1d(np.arange(len(ids)), np.fromiter(newest.values(), np.intp, len(newest)))
        return self.without(gone)


def _bytes_of(corpus: Corpus) -> int:
    return corpus.nbytes + _derived_bytes_of(corpus)


def _derived_bytes_of(corpus: Corpus) -> int:
    terms = len(corpus.terms)
    return len(corpus) * DERIVED_BYTES + terms * TERM_BYTES + min(terms, MOST_KEPT_WORDS) * WORD_BYTES


EMPTY: Final = Base((), Segment.of([], []), np.zeros(0, np.int32))


@dataclass(frozen=True, eq=False)
class Summarised:
    """The summaries of these rows."""

    rows: tuple[str, ...]
    found: Summaries


NOT_SUMMARISED: Final = Summarised((), Summaries.of({}, ""))


@dataclass(eq=False)
class Known:
    """What is known of one user's index. `corpus` is that of `base` and of the tail `of_tail`: ids and times."""

    base: Base = EMPTY
    tail: dict[str, Stored] = field(default_factory=dict)
    corpus: Corpus | None = None
    of_tail: frozenset[tuple[str, int]] = frozenset()
    gone: set[str] = field(default_factory=set)
    """Ids of entries whose items were not found: the next packer leaves them out."""
    summaries: Summarised = NOT_SUMMARISED

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        corpus = None if self.corpus is self.base.segment.corpus else self.corpus
        own = 0 if corpus is None else corpus.array_bytes + _derived_bytes_of(corpus)
        own += self.summaries.found.nbytes
        return self.base.nbytes + own + sum(1 + len(stored.entry.pieces) for stored in self.tail.values()) * ENTRY_BYTES


class Cache:
    """Users' indexes, up to `MEMORY["SEARCH_CACHE_BYTES"]`. Thread-safe; a value may be made by two threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Owner, tuple[Known, int]] = OrderedDict()
        self._bytes = 0

    def get(self, owner: Owner) -> Known:
        """What is known of an index; nothing for one that is not in the cache."""
        with self._lock:
            if owner not in self._known:
                return Known()
            self._known.move_to_end(owner)
            return self._known[owner][0]

    def put(self, owner: Owner, known: Known) -> None:
        """Keep it, and drop those that were used longest ago until all fit. One that is too large is not kept."""
        size = known.nbytes
        with self._lock:
            self._forget(owner)
            if size > memory_settings.search_cache_bytes:
                return
            self._known[owner] = known, size
            self._bytes += size
            while self._bytes > memory_settings.search_cache_bytes:
                self._forget(next(iter(self._known)))

    def forget(self, using: str, user_id: str) -> None:
        """Drop a user's index."""
        with self._lock:
            for owner in [known_owner for known_owner in self._known if known_owner[:2] == (using, user_id)]:
                self._forget(owner)

    def owners(self) -> list[Owner]:
        """Whose indexes are kept."""
        with self._lock:
            return list(self._known)

    def clear(self, **kwargs: Any) -> None:
        """Drop everything. Also a receiver of `post_migrate`, since the tables may be new."""
        with self._lock:
            self._known.clear()
            self._bytes = 0

    @property
    def nbytes(self) -> int:
        """The bytes of all that is kept."""
        return self._bytes

    def _forget(self, owner: Owner) -> None:
        if owner in self._known:
            self._bytes -= self._known.pop(owner)[1]


cache = Cache()


def _forget_erased(using: str, is_erased: Callable[[str], bool]) -> None:
    """Listener of tombstones: this process forgets the indexes of erased people."""
    for user_id in {user_id for alias, user_id, _ in cache.owners() if alias == using}:
        if is_erased(user_id):
            cache.forget(using, user_id)


tombstones.listeners.append(_forget_erased)
