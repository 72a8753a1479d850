"""The last order of results: what is valid before what is not, and, if asked for, what is important or recent.

A result is valid at the time of the search, or at `as_of`. The item that superseded a result takes its place, also if
it was not found itself; results that are not valid follow, and say so (`valid`). Nothing is left out but beyond the
limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from memory.models import MemoryItem
from memory.text_index import MOST_RESULTS, SearchOptions

from .corpus import Corpus
from .relevance import Ranked

Found: TypeAlias = Sequence[tuple[MemoryItem, Ranked]]

MOST_STEPS: Final = 10
"""Corrections of corrections that are followed, one query each."""
CANDIDATES: Final = 4
"""Times `limit` that results are read if importance or recency may change their order."""
HALF_LIFE_DAYS: Final = 30.0
"""An item that was written, or last used, so long ago has half of the recency of a new one."""


@dataclass(frozen=True)
class Preference:
    """How results are ordered. `find` reads items by id, if they pass the filters of the search."""

    options: SearchOptions
    now: datetime
    corpus: Corpus
    find: Callable[[Sequence[str]], Iterable[MemoryItem]]

    @property
    def at(self) -> datetime:
        """The time at which results are to be valid."""
        return self.options.as_of or self.now

    def ordered(self, found: Found) -> list[tuple[MemoryItem, Ranked]]:
        """The results in their last order."""
        results = list(found)
        if self.options.importance or self.options.recency:
            keyed = [(self._weight(item, ranked), place) for place, (item, ranked) in enumerate(results)]
            results = [results[place] for _, place in sorted(keyed, key=lambda each: (-each[0], each[1]))]
        if all(item.is_valid(self.at) for item, _ in results):
            return results
        known = {item.pk: (item, ranked) for item, ranked in results}
        placed: dict[str, tuple[MemoryItem, Ranked]] = {}
        later: dict[str, tuple[MemoryItem, Ranked]] = {}
        successors = self._successors([item for item, _ in results])
        for item, result in results:
            if item.is_valid(self.at):
                placed.setdefault(item.pk, (item, result))
                continue
            later[item.pk] = (item, result)
            if (new := successors.get(item.pk)) is not None:
                item_of, ranked = known.get(new.pk, (new, None))
                place = self._place(new.pk) if ranked is None else ranked.place
                if place is not None:
                    score = max(result.score, 0.0 if ranked is None else ranked.score)
                    made = Ranked(place, score, result.shares) if ranked is None else ranked._replace(score=score)
                    placed.setdefault(new.pk, (item_of, made))
        return [*placed.values(), *later.values()]

    def _weight(self, item: MemoryItem, ranked: Ranked) -> float:
        return ranked.score + sum(part for _, part in extra_parts(item, self.options, self.at))

    def _successors(self, items: Sequence[MemoryItem]) -> dict[str, MemoryItem]:
        """For items that are not valid, the one that superseded them, directly or by others, and is valid."""
        known = {item.pk: item for item in items}
        reached = {item.pk: item.superseded_by for item in items if not item.is_valid(self.at)}
        done: dict[str, MemoryItem] = {}
        for _ in range(MOST_STEPS):
            waiting = {pk: following for pk, following in reached.items() if following is not None and pk not in done}
            if not waiting:
                break
            if unread := sorted(set(waiting.values()) - known.keys()):
                known |= {item.pk: item for item in self.find(unread)}
            for pk, following in waiting.items():
                item = known.get(following)
                if item is not None and item.is_valid(self.at):
                    done[pk] = item
                reached[pk] = None if item is None else item.superseded_by
        return done

    def _place(self, identity: str) -> int | None:
        return self.corpus.ids.index(identity) if identity in self.corpus.ids else None


def extra_parts(item: MemoryItem, options: SearchOptions, now: datetime) -> list[tuple[str, float]]:
    """What importance and recency add to the score of an item in the order of results, by name."""
    parts = []
    if options.importance:
        parts.append(("importance", options.importance * (item.importance or 0.0)))
    if options.recency:
        last = item.timestamp if item.touched is None else max(item.timestamp, item.touched)
        days = max(0.0, (now - last).total_seconds() / 86_400)
        parts.append(("recency", options.recency * 0.5 ** (days / HALF_LIFE_DAYS)))
    return parts


def candidates(options: SearchOptions) -> int:
    """How many results are needed for the last order."""
    is_weighed = options.importance or options.recency
    return min(MOST_RESULTS, CANDIDATES * options.limit) if is_weighed else options.limit
