"""Packs items of a user into segments, outside of the write path.

1. Claim: increment the directory's generation. The database stores the time of the claim.
2. Read the items that are not in a segment yet, and make their entries.
3. In one transaction that fails if the generation has changed: store new segments, list them, delete replaced ones.

So of two packers at once, the one that claimed first gives up, and one that is killed leaves nothing behind. Every item
that was written (by the database's clock) before the claim, less the margin, was visible to the reads that followed it.
The new `since` is that time, or the time of the newest item if that is earlier: nothing is missed. An item that is in
a segment and read again is known by its time of writing: nothing is counted twice.

Small segments are merged with the new one, so their number grows with the logarithm of the items. Of a large memory,
full segments whose items cannot be in the tail are neither read nor changed; they have summaries (`choosing`). What was
replaced, has expired or was not found any more is left out whenever a segment is written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from django.db import IntegrityError, OperationalError, connections
from numpy.typing import NDArray

from memory.backends.clock import real_time
from memory.batches import batches
from memory.contention import in_transaction, is_contention, write_transaction
from memory.exceptions import PersonErased
from memory.fields import new_id
from memory.models import SearchIndex, SearchSegment, id_of_user

from . import directory as directories
from . import shared_segments
from .choosing import is_large, is_summarised, needed
from .directory import SUMMARIES, Directory, Listed
from .encrypted import as_stored, refuse_without_index
from .reading import ENTRIES_AT_ONCE, SegmentMissing, has_expired, read_base, read_summaries, segment_of
from .segment_cache import NOT_SUMMARISED, Base, cache
from .segments import MOST_BYTES, Segment, packed_in_parts, weight_of
from .summaries import Summaries
from .summaries import pack as pack_summaries
from .tail import Maker, configured_maker, stored_entries

logger = logging.getLogger(__name__)

GROWTH: Final = 2
"""A segment is merged with a new one if it has at most this many times the entries."""

MOST_STALE: Final = 0.2
"""A segment with a larger share of entries that are to be left out is written anew."""

LEASE_SECONDS: Final = 60.0
"""How long a packer may take before another one tries. If it takes longer, one of the two gives up."""

SEGMENTS_AT_ONCE: Final = 3
"""New segments in one transaction. The emulator accepts 4 MiB, Firestore 10 MiB."""


class Lost(Exception):
    """Another packer has begun meanwhile, or the index was erased. Nothing was written."""


@dataclass(frozen=True)
class Packed:
    """What a packer did: entries that it added and left out, and segments that the index has now."""

    added: int
    left_out: int
    segments: int


def pack(
    user_id: str,
    using: str,
    *,
    rebuild: bool = False,
    mend: bool = False,
    gone: Collection[str] = (),
    lease: float = LEASE_SECONDS,
) -> Packed:
    """Index a user's items. With `rebuild` all entries are made anew. `gone` are ids of items that do not exist.

    With `mend` every segment with an entry that must be left out is written anew, not only those with many.

    A packer that began less than `lease` seconds ago is not disturbed. Raises `Lost`, `EmbedderError`, and errors of
    the database; `RuntimeError` inside a transaction.
    """
    if in_transaction(connections[using]):
        raise RuntimeError("A search index cannot be written inside a transaction.")
    refuse_without_index()
    try:
        return _pack(user_id, using, rebuild, mend, gone, lease)
    except PersonErased as error:
        raise Lost from error


def _pack(user_id: str, using: str, rebuild: bool, mend: bool, gone: Collection[str], lease: float) -> Packed:
    maker = configured_maker(strict=True)
    owner = (using, user_id, maker.model)
    known = cache.get(owner)
    claimed = _claim(user_id, using, lease)

    def choose(found: Directory) -> Collection[str]:
        if rebuild or mend or gone or not is_large(found.segments) or is_outdated(found, maker):
            return found.ids
        summaries = read_summaries(found, using, known.summaries).found
        return {segment.id for segment in needed(found, summaries)}

    found, base = read_base(user_id, using, maker.model, known.base, choose)
    if found.generation != claimed:
        raise Lost
    is_new = rebuild or not found.segments or is_outdated(found, maker)
    since = None if is_new else found.since
    new = _new_entries(user_id, using, since, Base.of({}) if is_new else base, maker)
    stale = np.arange(len(base.segment)) if is_new else _stale(base, new, {*gone, *known.gone})
    work = _Work(user_id, using, found, base.without(stale), maker, sweeps=is_new, most_stale=0 if mend else MOST_STALE)
    return work.store(new, before=base)


def erase(user_id: str, using: str) -> None:
    """Delete a user's whole index at once, also from caches. A search makes a new one of the items that remain."""
    with write_transaction(using):
        segments = SearchSegment.objects.using(using).filter(user_id=user_id)
        ids = list(segments.values_list("pk", flat=True))
        SearchIndex.objects.using(using).filter(pk=id_of_user(user_id)).delete()
        segments.filter(pk__in=ids).delete()
    cache.forget(using, user_id)
    shared_segments.forget(ids)


def _claim(user_id: str, using: str, lease: float) -> int:
    """The generation that the claim made. Raises `Lost`."""
    found = directories.read(user_id, using)
    if found is not None and lease and found.claimed and real_time() - found.claimed / directories.SECOND < lease:
        raise Lost
    try:
        if found is None:
            directories.create(user_id, using)
            return 1
        if directories.claim(user_id, using, found.generation):
            return found.generation + 1
    except IntegrityError as error:
        raise Lost from error
    raise Lost


def is_outdated(found: Directory, maker: Maker) -> bool:
    """Whether other rules or another model made a segment."""
    made = (maker.rules, maker.model)
    return any((segment.rules, segment.model) != made for segment in found.segments)


def _new_entries(user_id: str, using: str, since: int | None, base: Base, maker: Maker) -> Segment:
    """The entries of items that are not in the base and have not expired, oldest first."""
    stored = stored_entries(user_id, using, since, base.has, maker)
    whole = Segment.concat([segment_of(entries) for entries in batches(stored, ENTRIES_AT_ONCE)])
    places = np.argsort(whole.corpus.time, kind="stable")
    return whole.take(places[~has_expired(whole.corpus)[places]]) if len(whole) else whole


def _stale(base: Base, new: Segment, gone: Collection[str]) -> NDArray[np.intp]:
    """The places of entries that are replaced or not found any more, or have expired."""
    places = base.places_of([*new.corpus.ids, *gone]).values()
    stale = has_expired(base.segment.corpus)
    stale[np.fromiter(places, np.intp, len(places))] = True
    return np.flatnonzero(stale)


@dataclass(frozen=True)
class _Work:
    """A claimed index. `base` is without the entries that are to be left out.

    `sweeps`: segments that no directory lists, as after damage, are deleted too.
    """

    user_id: str
    using: str
    found: Directory
    base: Base
    maker: Maker
    sweeps: bool = False
    most_stale: float = MOST_STALE

    def store(self, new: Segment, before: Base) -> Packed:
        """Write the new segments, in several transactions if they are many. Raises `Lost`."""
        merged = self._merged(len(new), before)
        old = self.base.segment.take(np.isin(self.base.owner, [self.base.ids.index(segment.id) for segment in merged]))
        whole = Segment.concat([old, new])
        parts = packed_in_parts(whole) if len(whole) else []
        kept = [segment for segment in self.found.segments if segment not in merged]
        written = [int(whole.written.max(initial=0)), self.found.newest if kept else 0]
        newest = max(written)
        listed, rows = self._rows(parts)
        new_ones = {listing.id: segment for listing, (segment, _) in zip(listed, parts, strict=True)}
        summaries, more = self._summarised([*kept, *listed], new_ones)
        replaced = self._replaced(merged, [*kept, *listed, *summaries])
        self._commit_all([*rows, *more], kept, listed, merged, summaries, newest, replaced)
        shared_segments.forget(replaced)
        return Packed(len(new), len(before.segment) - len(self.base.segment), len(kept) + len(listed))

    def _commit_all(
        self,
        rows: Sequence[SearchSegment],
        kept: Sequence[Listed],
        listed: Sequence[Listed],
        merged: Sequence[Listed],
        summaries: Sequence[Listed],
        newest: int,
        replaced: Sequence[str],
    ) -> None:
        """Write the rows, and a directory that lists them, in several transactions if they are many."""
        generation = self.found.generation
        for start in range(0, max(1, len(rows)), SEGMENTS_AT_ONCE):
            end = start + SEGMENTS_AT_ONCE
            is_last = end >= len(rows)
            directory = Directory(
                generation,
                (*kept, *listed[:end], *(() if is_last else merged)),
                self._since(newest) if is_last else self.found.since,
                newest,
                0 if is_last else self.found.claimed,
                tuple(summaries) if is_last else self.found.summaries,
            )
            self._commit(directory, rows[start:end], replaced if is_last else [])
            generation += 1

    def _merged(self, number: int, before: Base) -> list[Listed]:
        """The segments that are written anew: small ones, and those with many entries to be left out.

        Of a large memory, segments that were not read stay.
        """
        entries = np.bincount(before.owner, minlength=len(before.ids)) if len(before.ids) else np.zeros(0, int)
        left = np.bincount(self.base.owner, minlength=len(before.ids)) if len(before.ids) else entries
        place = {identity: at for at, identity in enumerate(before.ids)}
        merged = []
        for listed in sorted(
            (listed for listed in self.found.segments if listed.id in place), key=lambda listed: listed.items
        ):
            had, has = entries[place[listed.id]], left[place[listed.id]]
            is_small = listed.bytes < MOST_BYTES / 2 and has <= GROWTH * number
            if is_small or listed.items - has > self.most_stale * listed.items or had == 0:
                merged.append(listed)
                number += int(has)
        return merged

    def _rows(self, parts: Sequence[tuple[Segment, bytes]]) -> tuple[list[Listed], list[SearchSegment]]:
        rules, model = self.maker.rules, self.maker.model
        rows = [self._row(data) for _, data in parts]
        listed = [
            Listed(row.pk, len(segment), weight_of(segment, data), rules, model)
            for row, (segment, data) in zip(rows, parts, strict=True)
        ]
        return listed, rows

    def _row(self, data: bytes) -> SearchSegment:
        return SearchSegment(pk=new_id(), user_id=self.user_id, data=as_stored(data, self.user_id, self.using))

    def _summarised(
        self, segments: Sequence[Listed], new_ones: Mapping[str, Segment]
    ) -> tuple[Sequence[Listed], list[SearchSegment]]:
        """The rows of summaries, and those of them that are new. A small memory has none."""
        wanted = {segment.id for segment in segments if is_summarised(segment)} if is_large(segments) else set()
        known = self._known_summaries() if wanted and not self.sweeps else NOT_SUMMARISED.found
        if wanted and wanted == set(known.ids):
            return self.found.summaries, []
        there = {*new_ones, *self.base.ids}  # after damage, others get theirs from the next packer
        missing = {
            identity: self._segment_of(identity, new_ones) for identity in sorted(wanted & there.difference(known.ids))
        }
        every = Summaries.concat([known.within(wanted), Summaries.of(missing, self.maker.model)])
        packed = [pack_summaries(batch) for batch in every.batches()]
        rows = [self._row(data) for data in packed]
        listed = [Listed(row.pk, 0, len(data), SUMMARIES, "") for row, data in zip(rows, packed, strict=True)]
        return listed, rows

    def _known_summaries(self) -> Summaries:
        try:
            return read_summaries(self.found, self.using, NOT_SUMMARISED).found
        except SegmentMissing as error:
            raise Lost from error

    def _segment_of(self, identity: str, new_ones: Mapping[str, Segment]) -> Segment:
        if identity in new_ones:
            return new_ones[identity]
        return self.base.segment.take(self.base.owner == self.base.ids.index(identity))

    def _replaced(self, merged: Sequence[Listed], listed: Sequence[Listed]) -> list[str]:
        """The ids of stored rows to delete: of those, `listed` stay."""
        if self.sweeps:
            rows = SearchSegment.objects.using(self.using).filter(user_id=self.user_id)
            stored: Iterable[str] = rows.values_list("pk", flat=True)
        else:
            stored = [row.id for row in (*merged, *self.found.summaries)]
        kept = {segment.id for segment in listed}
        return [identity for identity in stored if identity not in kept]

    def _since(self, newest: int) -> int:
        visible = self.found.claimed - directories.margin(connections[self.using].vendor)
        return min(newest, visible) if newest else visible

    def _commit(self, directory: Directory, rows: Sequence[SearchSegment], replaced: Sequence[str]) -> None:
        try:
            with write_transaction(self.using):
                if not directories.replace(self.user_id, self.using, directory):
                    raise Lost
                SearchSegment.objects.using(self.using).bulk_create(rows)
                if replaced:
                    SearchSegment.objects.using(self.using).filter(pk__in=replaced).delete()
        except OperationalError as error:
            if is_contention(error):
                raise Lost from error
            raise


def index_now(user_id: str, using: str) -> int:
    """Index a user's items, unless another process does. Returns how many were added."""
    try:
        return pack(user_id, using).added
    except Lost:
        return 0
