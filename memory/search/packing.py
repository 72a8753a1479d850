"""Packs items of a user into segments, outside of the write path.

1. Claim: increment the directory's generation. The database stores the time of the claim.
2. Read the items that are not in a segment yet, and make their entries.
3. In one transaction that fails if the generation has changed: store new segments, list them, delete replaced ones.

So of two packers at once, the one that claimed first gives up, and one that is killed leaves nothing behind. Every item
that was written (by the database's clock) before the claim, less the margin, was visible to the reads that followed it.
The new `since` is that time, or the time of the newest item if that is earlier: nothing is missed. An item that is in
a segment and read again is known by its time of writing: nothing is counted twice.

Small segments are merged with the new one, so their number grows with the logarithm of the items. What was replaced,
has expired or was not found any more is left out whenever a segment is written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from django.db import IntegrityError, OperationalError, connections
from numpy.typing import NDArray

from memory.backends.clock import real_time
from memory.backends.firestore.values.batching import batches
from memory.contention import in_transaction, is_contention, write_transaction
from memory.exceptions import PersonErased
from memory.fields import new_id
from memory.models import SearchIndex, SearchSegment, id_of_user

from . import directory as directories
from . import shared
from .directory import Directory, Listed
from .encrypted import as_stored, refuse_without_index
from .known import Base, cache
from .reading import ENTRIES_AT_ONCE, has_expired, read_base, segment_of
from .segments import MOST_BYTES, Segment, packed_in_parts
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


class Lost(Exception):  # noqa: N818
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
    found, base = read_base(user_id, using, maker.model, known.base)
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
    shared.forget(ids)


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
    return any((one.rules, one.model) != made for one in found.segments)


def _new_entries(user_id: str, using: str, since: int | None, base: Base, maker: Maker) -> Segment:
    """The entries of items that are not in the base and have not expired, oldest first."""
    stored = stored_entries(user_id, using, since, base.has, maker)
    whole = Segment.concat([segment_of(some) for some in batches(stored, ENTRIES_AT_ONCE)])
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
        old = self.base.segment.take(np.isin(self.base.owner, [self.base.ids.index(one.id) for one in merged]))
        whole = Segment.concat([old, new])
        parts = packed_in_parts(whole) if len(whole) else []
        kept = [one for one in self.found.segments if one not in merged]
        written = [int(whole.written.max(initial=0)), self.found.newest if kept else 0]
        newest = max(written)
        generation = self.found.generation
        for start in range(0, max(1, len(parts)), SEGMENTS_AT_ONCE):
            some, is_last = parts[start : start + SEGMENTS_AT_ONCE], start + SEGMENTS_AT_ONCE >= len(parts)
            listed, rows = self._rows(some)
            kept += listed
            since = self._since(newest) if is_last else self.found.since
            listing = kept if is_last else [*kept, *merged]
            directory = Directory(generation, tuple(listing), since, newest, 0 if is_last else self.found.claimed)
            self._commit(directory, rows, self._replaced(merged, kept) if is_last else [])
            generation += 1
        shared.forget(one.id for one in merged)
        return Packed(len(new), len(before.segment) - len(self.base.segment), len(kept))

    def _merged(self, number: int, before: Base) -> list[Listed]:
        """The segments that are written anew: small ones, and those with many entries to be left out."""
        entries = np.bincount(before.owner, minlength=len(before.ids)) if len(before.ids) else np.zeros(0, int)
        left = np.bincount(self.base.owner, minlength=len(before.ids)) if len(before.ids) else entries
        place = {one: at for at, one in enumerate(before.ids)}
        merged = []
        for one in sorted(self.found.segments, key=lambda each: each.items):
            had, has = entries[place[one.id]], left[place[one.id]]
            is_small = one.bytes < MOST_BYTES / 2 and has <= GROWTH * number
            if is_small or one.items - has > self.most_stale * one.items or had == 0:
                merged.append(one)
                number += int(has)
        return merged

    def _rows(self, parts: Sequence[tuple[Segment, bytes]]) -> tuple[list[Listed], list[SearchSegment]]:
        rules, model = self.maker.rules, self.maker.model
        rows = [
            SearchSegment(pk=new_id(), user_id=self.user_id, data=as_stored(data, self.user_id, self.using))
            for _, data in parts
        ]
        listed = [
            Listed(row.pk, len(segment), len(data), rules, model)
            for row, (segment, data) in zip(rows, parts, strict=True)
        ]
        return listed, rows

    def _replaced(self, merged: Sequence[Listed], kept: Sequence[Listed]) -> list[str]:
        """The ids of stored segments to delete."""
        if not self.sweeps:
            return [one.id for one in merged]
        listed = {one.id for one in kept}
        rows = SearchSegment.objects.using(self.using).filter(user_id=self.user_id)
        return [pk for pk in rows.values_list("pk", flat=True) if pk not in listed]

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
