"""Chooses the segments that a search of a large memory reads, by summaries of those that it might leave out.

Up to `MOST_ITEMS` items and `MOST_READ` bytes all segments are read. Of more, those that are `needed`, the newest up to
half of these, and then those that most likely have the answer, as far as the filters let them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from .asking import Asked
from .directory import Directory, Listed
from .known_filters import KnownFilters
from .segments import MOST_BYTES
from .summaries import Summaries

MOST_ITEMS: Final = 50_000
"""Entries that a search reads: of larger memories, segments are chosen."""
MOST_READ: Final = 16 * 1024 * 1024
"""Bytes of segments that a search reads: usual items are as many as `MOST_ITEMS`. Of hostile ones, the first search of
a process takes 0.9 s of CPU."""
SHARE_OF_NEWEST: Final = 0.5
ROUNDED: Final = 1e-9
"""What a sum of shares may be wrong by."""


def is_large(segments: Iterable[Listed]) -> bool:
    """Whether there are more entries or bytes than a search reads."""
    return sum(map(share_of, segments)) > 1


def share_of(listed: Listed) -> float:
    """The share of what a search reads that a segment takes."""
    return max(listed.items / MOST_ITEMS, listed.bytes / MOST_READ)


def is_summarised(listed: Listed) -> bool:
    """Whether a segment has a summary in a large memory. Smaller ones are soon merged, and always read."""
    return listed.bytes >= MOST_BYTES / 2


def needed(found: Directory, summaries: Summaries) -> list[Listed]:
    """The segments that are always read: those without a summary, and those with items that the tail may have, too."""
    written = dict(zip(summaries.ids, summaries.written, strict=True))
    return [
        listed
        for listed in found.segments
        if listed.id not in written or found.since is None or written[listed.id] > found.since or not written[listed.id]
    ]


def chosen(
    found: Directory, summaries: Summaries, questions: Sequence[Asked], filters: KnownFilters, model: str
) -> frozenset[str]:
    """The ids of the segments that a search reads: all of them without a summary."""
    if not is_large(found.segments) or not len(summaries):
        return frozenset(found.ids)
    passing = dict(zip(summaries.ids, filters.may_pass(summaries).tolist(), strict=True))
    always = list(_up_to(reversed(needed(found, summaries)), 1))
    others = [listed for listed in found.segments if listed not in always and passing.get(listed.id, True)]
    left = 1 - sum(map(share_of, always))
    newest = list(_up_to(reversed(others), left * SHARE_OF_NEWEST))
    left -= sum(map(share_of, newest))
    scores = dict(zip(summaries.ids, _scores(summaries, questions, model), strict=True))
    rest = sorted((listed for listed in others if listed not in newest), key=lambda listed: -scores.get(listed.id, 0.0))
    return frozenset(listed.id for listed in (*always, *newest, *_up_to(rest, left)))


def _scores(summaries: Summaries, questions: Sequence[Asked], model: str) -> list[float]:
    """The best score of any question."""
    every = [summaries.scores(question, model) for question in questions]
    best: list[float] = np.max([np.zeros(len(summaries)), *every], axis=0).tolist()
    return best


def _up_to(segments: Iterable[Listed], share: float) -> Iterable[Listed]:
    """The first segments of together this share of what a search reads; at least one if any are wanted."""
    for listed in segments:
        if share <= ROUNDED:
            return
        yield listed
        share -= share_of(listed)
