"""Times that fit the order of a conversation.

The order of messages is that of the file: the parents' in a tree, or a list's. Histories are sorted by time, so each
message must be later than its predecessor. A time from the file is kept unless it is too early; then it becomes that of
the predecessor plus one microsecond. Since only predecessors matter, a file that grows does not change earlier times.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .entries import Entry, Outcome, Removal, Turn, compact, merged, time_of

TICK = timedelta(microseconds=1)
# The distance of messages in conversations without any time.
STEP = timedelta(milliseconds=1)
MAX_WAITING = 500
MAX_THREADS = 50_000
# The metadata key of a time from the file that could not be kept.
ORIGINAL = "original_time"


@dataclass(frozen=True)
class Node:
    """A message of a tree: its parent's key, and its time or None."""

    parent: str | None
    time: datetime | None


def tree_times(nodes: Mapping[str, Node], start: datetime) -> dict[str, datetime]:
    """The times of a tree's messages, each later than its parent's. Roots without a time are at `start` or before.

    A parent that is missing, or part of a cycle, counts as no parent.
    """
    latest = _latest_of_roots(nodes)
    times: dict[str, datetime] = {}
    for key in nodes:
        for ancestor in reversed(_unplaced(key, nodes, times)):
            node = nodes[ancestor]
            before = times.get(node.parent) if node.parent is not None else None
            if before is None:
                times[ancestor] = node.time or min(start + TICK, latest.get(ancestor, start + TICK))
            else:
                times[ancestor] = max(node.time or before, before + TICK)
    return times


def _unplaced(key: str, nodes: Mapping[str, Node], placed: Mapping[str, object]) -> list[str]:
    """A message and its ancestors, up to the first that is in `placed`."""
    path: dict[str, None] = {}
    current: str | None = key
    while current is not None and current in nodes and current not in placed and current not in path:
        path[current] = None
        current = nodes[current].parent
    return list(path)


def _latest_of_roots(nodes: Mapping[str, Node]) -> dict[str, datetime]:
    """The latest times of messages that have no time, before the first time in each of the branches below them."""
    latest: dict[str, datetime] = {}
    for key, node in nodes.items():
        if node.time is None:
            continue
        time, seen, current = node.time, {key}, node.parent
        while current is not None and current not in seen and current in nodes and nodes[current].time is None:
            time -= TICK
            if latest.get(current, time + TICK) <= time:
                break
            seen.add(current)
            latest[current] = time
            current = nodes[current].parent
    return latest


@dataclass(frozen=True)
class _Last:
    """The time of a conversation's last message, and whether the conversation has no times so far."""

    time: datetime
    untimed: bool


class Order:
    """Sets the timestamps of entries with a `turn`, in the order of the file.

    A message without a time follows its predecessor; the first ones precede the first message with a time. Messages of
    a conversation without any time are at `file_time`, one millisecond apart. At most `MAX_WAITING` entries are held
    back until a time is found.
    """

    def __init__(self, file_time: datetime) -> None:
        self.file_time = file_time
        self.last: OrderedDict[str, _Last] = OrderedDict()
        self.waiting: dict[str, list[Entry]] = {}
        self.count = 0

    def fit(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the outcomes; entries that wait for a time are yielded later."""
        for outcome in outcomes:
            if isinstance(outcome, Entry) and outcome.turn is not None:
                yield from self._fit(outcome, outcome.turn)
            elif isinstance(outcome, Removal):
                self._remove(outcome.id)
                yield outcome
            else:
                yield outcome

    def _remove(self, id: str) -> None:
        for entries in self.waiting.values():
            kept = [entry for entry in entries if entry.values["id"] != id]
            self.count -= len(entries) - len(kept)
            entries[:] = kept

    def rest(self) -> Iterator[Entry]:
        """Yield the entries for which no time was found."""
        waiting, self.waiting, self.count = self.waiting, {}, 0
        for entries in waiting.values():
            for entry in entries:
                yield self._untimed(entry)

    def _fit(self, entry: Entry, turn: Turn) -> Iterator[Entry]:
        time, last = time_of(turn.stated), self.last.get(turn.thread)
        if time is not None:
            waiting = self.waiting.pop(turn.thread, [])
            self.count -= len(waiting)
            for place, earlier in enumerate(waiting):
                yield _at(earlier, time - (len(waiting) - place) * TICK)
            yield self._placed(entry, time if last is None else max(time, last.time + TICK), untimed=False)
        elif last is None:
            self.waiting.setdefault(turn.thread, []).append(entry)
            self.count += 1
            if self.count >= MAX_WAITING:
                yield from self.rest()
        elif last.untimed:
            yield self._untimed(entry)
        else:
            yield self._placed(entry, last.time + TICK, untimed=False)

    def _untimed(self, entry: Entry) -> Entry:
        position = entry.turn.position if entry.turn else 0
        time, last = self.file_time + position * STEP, self.last.get(_thread(entry))
        return self._placed(entry, time if last is None else max(time, last.time + TICK), untimed=True)

    def _placed(self, entry: Entry, time: datetime, *, untimed: bool) -> Entry:
        thread = _thread(entry)
        self.last[thread] = _Last(time, untimed)
        self.last.move_to_end(thread)
        if len(self.last) > MAX_THREADS:
            self.last.popitem(last=False)
        return _at(entry, time, untimed=untimed)


def _thread(entry: Entry) -> str:
    return entry.turn.thread if entry.turn else ""


def _at(entry: Entry, time: datetime, *, untimed: bool = False) -> Entry:
    stated = entry.turn.stated if entry.turn else None
    values = {**entry.values, "timestamp": time}
    if original := original_time(stated, time):
        values["metadata"] = merged(entry.values["metadata"], original)
    known = entry.stated if time_of(stated) is None else entry.stated | {"timestamp"}
    repairs = entry.repairs if untimed else entry.repairs | {"timestamp"}
    return replace(entry, values=values, stated=known, repairs=repairs)


def original_time(stated: object, time: datetime) -> dict[str, object]:
    """The metadata that keeps the time of the file where it differs from the time of the record."""
    if stated in (None, "") or time_of(stated) == time:
        return {}
    if isinstance(stated, str | int) or (isinstance(stated, float) and math.isfinite(stated)):
        return {ORIGINAL: stated}
    return {ORIGINAL: compact(stated)}
