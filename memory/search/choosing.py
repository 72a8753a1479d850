"""Chooses the segments that a search of a large memory reads, by summaries of those that it might leave out.

Up to `MOST_ITEMS` items all segments are read. Of more, those that are `needed`, the newest of half that number, and
then those that most likely have the answer, as far as the filters let them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from .directory import Directory, Listed
from .features import Asked
from .known_filters import KnownFilters
from .segments import MOST_BYTES
from .summaries import Summaries

MOST_ITEMS: Final = 50_000
"""Entries that a search reads: of larger memories, segments are chosen."""
SHARE_OF_NEWEST: Final = 0.5


def is_large(segments: Iterable[Listed]) -> bool:
    """Whether there are more entries than a search reads."""
    return sum(one.items for one in segments) > MOST_ITEMS


def is_summarised(one: Listed) -> bool:
    """Whether a segment has a summary in a large memory. Smaller ones are soon merged, and always read."""
    return one.bytes >= MOST_BYTES / 2


def needed(found: Directory, summaries: Summaries) -> list[Listed]:
    """The segments that are always read: those without a summary, and those with items that the tail may have, too."""
    written = dict(zip(summaries.ids, summaries.written, strict=True))
    return [
        one
        for one in found.segments
        if one.id not in written or found.since is None or written[one.id] > found.since or not written[one.id]
    ]


def chosen(
    found: Directory, summaries: Summaries, questions: Sequence[Asked], filters: KnownFilters, model: str
) -> frozenset[str]:
    """The ids of the segments that a search reads: all of them if a filter is not known to the index."""
    if not is_large(found.segments) or not filters.complete:
        return frozenset(found.ids)
    passing = dict(zip(summaries.ids, filters.may_pass(summaries).tolist(), strict=True))
    always = needed(found, summaries)
    others = [one for one in found.segments if one not in always and passing[one.id]]
    left = MOST_ITEMS - sum(one.items for one in always)
    newest = list(_up_to(reversed(others), left * SHARE_OF_NEWEST))
    left -= sum(one.items for one in newest)
    scores = dict(zip(summaries.ids, _scores(summaries, questions, model), strict=True))
    rest = sorted((one for one in others if one not in newest), key=lambda one: -scores[one.id])
    return frozenset(one.id for one in (*always, *newest, *_up_to(rest, left)))


def _scores(summaries: Summaries, questions: Sequence[Asked], model: str) -> list[float]:
    """The best score of any question."""
    every = [summaries.scores(question, model) for question in questions]
    best: list[float] = np.max([np.zeros(len(summaries)), *every], axis=0).tolist()
    return best


def _up_to(segments: Iterable[Listed], items: float) -> Iterable[Listed]:
    """The first segments of together this many entries; at least one if any are wanted."""
    for one in segments:
        if items <= 0:
            return
        yield one
        items -= one.items
