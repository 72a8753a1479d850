"""Reads the index of a user's memory for a search: the segments that are not known yet, and the tail.

    directory -> unknown segments (cache, then database) -> items written since -> one corpus

Of large memories a search reads the segments that `choosing` names, and uses those that the process has.

A packer may delete segments between the first two steps; then the directory is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from django.utils import timezone
from numpy.typing import NDArray

from memory.batches import batches
from memory.conf import memory_settings
from memory.models import SearchSegment
from memory.sealing import open_bytes
from memory.snapshots import epoch_microseconds

from . import directory as directories
from . import shared_segments
from .appending import appended
from .asking import Asked
from .choosing import chosen, is_large
from .corpus import Corpus
from .directory import Directory
from .known_filters import EVERYTHING, KnownFilters
from .segment_cache import EMPTY, NOT_SUMMARISED, Base, Known, Summarised, cache
from .segments import Segment, UnreadableSegment, unpack
from .summaries import Summaries
from .summaries import unpack as unpack_summaries
from .tail import Maker, Stored, stored_entries
from .unindexed import Unindexed, are_read_whole, read_unindexed

logger = logging.getLogger(__name__)

ATTEMPTS = 3
ENTRIES_AT_ONCE = 2_000
MOST_OF_A_USER = 0.5
"""Share of `SEARCH_CACHE_BYTES` up to which segments of a large memory that were chosen before are searched, too."""
MOST_KEPT = 200
"""Entries of a tail that are kept for the next search."""


class SegmentMissing(Exception):
    """A directory lists a segment that does not exist: a packer has replaced it meanwhile."""


@dataclass(frozen=True)
class Memory:
    """A user's whole memory as a search sees it: an entry of each item.

    `tail` items are in no segment. `waiting` of them were not read whole, or not at all.
    """

    user_id: str
    using: str
    directory: Directory
    corpus: Corpus
    tail: int
    known: Known
    waiting: int = 0

    def allowed(self) -> NDArray[np.bool_]:
        """The entries whose items have not expired, and exist as far as is known."""
        found = ~has_expired(self.corpus)
        for place in self.known.base.places_of(self.known.gone).values():
            if place < len(found) and self.corpus.ids[place] in self.known.gone:
                found[place] = False
        return found

    def not_found(self, ids: Iterable[str]) -> None:
        """The items of these entries do not exist any more: the next packer of this process leaves them out."""
        self.known.gone.update(ids)


def has_expired(corpus: Corpus) -> NDArray[np.bool_]:
    """The entries of items that have expired."""
    if not corpus.may_expire:
        return np.zeros(len(corpus), bool)
    found: NDArray[np.bool_] = (corpus.expiration > 0) & (corpus.expiration <= epoch_microseconds(timezone.now()))
    return found


def read_memory(
    user_id: str,
    using: str,
    maker: Maker,
    questions: Sequence[Asked] | None = None,
    filters: KnownFilters = EVERYTHING,
) -> Memory:
    """Read the index and the items that it lacks. Without an index, or if it is damaged, all items are such.

    For questions, what is read of these items is bounded (`unindexed`), and so are the segments of a large memory
    (`choosing`). Without (None) all are read.
    """
    owner = (using, user_id, maker.model)
    known = cache.get(owner)
    summarised = known.summaries

    def choose(found: Directory) -> Collection[str]:
        nonlocal summarised
        if questions is None or not is_large(found.segments):
            return found.ids
        summarised = read_summaries(found, using, known.summaries)
        return chosen(found, summarised.found, questions, filters, maker.model)

    found, base = read_base(user_id, using, maker.model, known.base, choose)
    tail, is_whole = _tail(user_id, using, found, base, known, maker, questions)
    if not is_whole and known.of_tail:
        known = replace(known, corpus=None, of_tail=frozenset())
    segment = Segment.concat([segment_of(entries) for entries in batches(tail.stored, ENTRIES_AT_ONCE)])
    of_tail = frozenset(zip(segment.corpus.ids, segment.written.tolist(), strict=True))
    corpus = _joined(known, base, segment.corpus, of_tail)
    gone = {identity for identity in base.places_of(known.gone) if identity not in set(segment.corpus.ids)}
    whole = [stored for stored in tail.stored if not stored.is_partial]
    # Of too many texts, another question reads others whole.
    kept = {stored.entry.id: stored for stored in whole[:MOST_KEPT]} if is_whole else {}
    fresh = Known(base, kept, corpus if is_whole else None, of_tail if is_whole else frozenset(), gone, summarised)
    cache.put(owner, fresh)
    unread = tail.waiting - (len(tail.stored) - len(whole))
    return Memory(user_id, using, found, corpus, len(segment) + unread, fresh, tail.waiting)


def every_segment(found: Directory) -> Collection[str]:
    """The ids of all segments."""
    return found.ids


def read_base(
    user_id: str,
    using: str,
    model: str,
    known: Base = EMPTY,
    choose: Callable[[Directory], Collection[str]] = every_segment,
) -> tuple[Directory, Base]:
    """The directory and the entries of its segments; an empty one if the index is damaged or does not exist.

    Entries have vectors of this model or none. Of the segments that `choose` leaves out, only those that are known are
    in the base.
    """
    found = directories.EMPTY
    for _ in range(ATTEMPTS):
        found = directories.read(user_id, using) or directories.EMPTY
        if not found.generation:
            return found, EMPTY
        try:
            return found, _base(found, using, model, known, choose(found))
        except SegmentMissing:
            continue
        except UnreadableSegment as error:
            logger.warning("The search index of a user is not read, since it is not valid: %s", error)
            return Directory(found.generation, (), None, 0, found.claimed), EMPTY
    logger.error("The search index of a user is not read: it lacks segments. Run manage.py memory_index --rebuild.")
    return Directory(found.generation, (), None, 0, found.claimed), EMPTY


def read_summaries(found: Directory, using: str, known: Summarised) -> Summarised:
    """The summaries of a directory; none if they are damaged. Raises `SegmentMissing`."""
    rows = tuple(row.id for row in found.summaries)
    if rows == known.rows:
        return known
    data = read_rows(rows, using)
    try:
        summaries = Summaries.concat([unpack_summaries(data[row]) for row in rows])
    except UnreadableSegment as error:
        logger.warning("All segments of a search index are read: %s", error)
        return NOT_SUMMARISED
    return Summarised(rows, summaries.within(found.ids))


def _base(found: Directory, using: str, model: str, known: Base, chosen: Collection[str]) -> Base:
    if known.nbytes > memory_settings.search_cache_bytes * MOST_OF_A_USER:
        known = known.within(chosen)
    ids = tuple(identity for identity in found.ids if identity in chosen or identity in known.ids)
    if set(known.ids) == set(ids):
        return known
    missing = [listed for listed in found.segments if listed.id in ids and listed.id not in known.ids]
    segments = read_segments([listed.id for listed in missing], using)
    for listed in missing:
        if listed.model != model:
            segments[listed.id] = segments[listed.id].without_vectors()
    made = {(listed.rules, listed.model) for listed in found.segments}
    # Entries that other rules or another model made are not those of a new segment: all are replaced then.
    is_alike = len(made) == 1 and {model} == {listed.model for listed in found.segments}
    updated = known.updated(ids, segments) if is_alike and set(known.ids) & set(ids) else None
    return updated or known.within(ids).with_segments(segments)


def read_segments(ids: Sequence[str], using: str) -> dict[str, Segment]:
    """Segments by id, from the shared cache and the database. Raises `SegmentMissing` and `UnreadableSegment`."""
    return {identity: unpack(data) for identity, data in read_rows(ids, using).items()}


def read_rows(ids: Sequence[str], using: str) -> dict[str, bytes]:
    """Stored forms by id, from the shared cache and the database. Raises `SegmentMissing`."""
    if not ids:
        return {}
    data = shared_segments.get(ids)
    if missing := [identity for identity in ids if identity not in data]:
        rows = SearchSegment.objects.using(using).filter(pk__in=missing).values_list("pk", "data")
        read = {pk: bytes(content) for pk, content in rows}
        shared_segments.put(read)
        data |= read
    if len(data) < len(ids):
        raise SegmentMissing
    return {identity: open_bytes(data[identity], using) for identity in ids}


def _tail(
    user_id: str,
    using: str,
    found: Directory,
    base: Base,
    known: Known,
    maker: Maker,
    questions: Sequence[Asked] | None,
) -> tuple[Unindexed, bool]:
    """The entries of items that are not in the base, and whether all were read whole.

    If together they are more than a search reads whole, what an earlier one has read is read anew: which are read whole
    depends on this question alone.
    """
    reused: dict[str, Stored] = {}

    def is_kept(identity: str, written: int) -> bool:
        earlier = known.tail.get(identity)
        if earlier is None or not written or earlier.written != written:
            return False
        reused[identity] = earlier
        return True

    if questions is None:

        def is_known(identity: str, written: int) -> bool:
            return base.has(identity, written) or is_kept(identity, written)

        stored = list(stored_entries(user_id, using, found.since, is_known, maker))
        return Unindexed([*reused.values(), *stored]), True
    anew = replace(maker, budget=copy(maker.budget))
    read = read_unindexed(user_id, using, found.since, base, is_kept, maker, questions)
    stored = [*reused.values(), *read.stored]
    is_whole = are_read_whole([entry.characters for entry in stored]) and not read.waiting
    if is_whole or not reused:
        return Unindexed(stored, read.waiting), is_whole
    return read_unindexed(user_id, using, found.since, base, _nothing_known, anew, questions), False


def _nothing_known(identity: str, written: int) -> bool:
    return False


def segment_of(entries: Sequence[Stored]) -> Segment:
    """The segment of entries."""
    return Segment.of([stored.entry for stored in entries], [stored.written for stored in entries])


def _joined(known: Known, base: Base, tail: Corpus, of_tail: frozenset[tuple[str, int]]) -> Corpus:
    """The corpus of both. Entries of the tail replace those of the base. What is known of an earlier tail is used."""
    if known.corpus is not None and known.base is base and known.of_tail <= of_tail:
        before = {identity for identity, _ in known.of_tail}
        new = [place for place, identity in enumerate(tail.ids) if identity not in before]
        if len(new) + len(before) == len(tail) and not base.places_of([tail.ids[place] for place in new]):
            return appended(known.corpus, tail.take(np.array(new, np.intp))) if new else known.corpus
    replaced = base.places_of(tail.ids)
    rest = base.without(np.fromiter(replaced.values(), np.intp, len(replaced))) if replaced else base
    return appended(rest.segment.corpus, tail) if len(tail) else rest.segment.corpus
