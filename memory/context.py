"""A context for a language model: recent turns and recalled items within a budget of tokens. Pure functions.

    candidates -> choose (by priority, until the budget is spent) -> render

A context has up to three sections, each in the order of time: a summary of what was cut, what was recalled, and the
newest turns. A line has the time, the speaker and the text of an item:

    [2026-03-01 09:30] Ada: I like tea.

The newest turns have priority for `RECENT_SHARE` of the budget, then recalled items, best first, then older turns.
Whatever the tokenizer counts, the rendered text is never above the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

Count = Callable[[str], int]
"""The number of tokens of a text."""
Summarize = Callable[[Sequence["Line"], int], str]
"""A summary of lines, in at most this many tokens; empty for none."""

RECENT_SHARE: Final = 0.6
"""Of the budget, for the newest turns, before recalled items take the rest."""
SUMMARY_SHARE: Final = 0.15
"""Of the budget, for the summary of what is cut, if there is one."""
LONGEST_SPEAKER: Final = 80
BYTES_PER_TOKEN: Final = 3
ELLIPSIS: Final = "…"
HEADINGS: Final = {"summary": "Summary of earlier turns:", "recalled": "From memory:", "recent": "Recent turns:"}


@dataclass(frozen=True)
class Line:
    """An item of a context: its id, time, speaker ("" if unknown) and text."""

    id: str
    time: datetime
    speaker: str
    text: str

    @property
    def key(self) -> str:
        """Equal for texts that say the same but for case and spaces."""
        return " ".join(self.text.casefold().split())


@dataclass(frozen=True)
class Context:
    """What was chosen, each in the order of time: `recalled` lines and `recent` turns; `cut` are the others.

    `text` is the rendered context, of `tokens` tokens. `is_truncated`: the newest turn alone is above the budget, so
    its text ends in "…".
    """

    recalled: tuple[Line, ...] = ()
    recent: tuple[Line, ...] = ()
    cut: tuple[Line, ...] = ()
    summary: str = ""
    text: str = ""
    tokens: int = 0
    is_truncated: bool = False


def estimated_tokens(text: str) -> int:
    """The count without a tokenizer: a token for each 3 bytes of UTF-8, more than common tokenizers count for prose."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)


def in_context(
    turns: Iterable[Line], recalled: Iterable[Line], budget: int, count: Count, summarize: Summarize | None = None
) -> Context:
    """The context of turns (newest first) and recalled lines (best first) in at most `budget` tokens.

    A line appears once, also if it was recalled and is a recent turn, and of recalled lines with the same text one.
    Recent turns are the newest ones, without a gap. `summarize` is called if lines were cut.
    """
    turns, best = _once(turns), _without_doubles(recalled)
    chosen = choose(turns, best, budget, count)
    if not chosen.cut or summarize is None:
        return chosen
    room = int(budget * SUMMARY_SHARE)
    smaller = choose(turns, best, budget - room, count)
    if turns and (smaller.is_truncated or not smaller.recent):  # the newest turn comes before a summary
        return chosen
    summary = " ".join(summarize(smaller.cut, room).split())
    return _with_summary(smaller, summary, budget, count)


def choose(turns: Sequence[Line], best: Sequence[Line], budget: int, count: Count) -> Context:
    """The lines within the budget, without a summary. No line of `turns`, or of `best`, may appear twice in it."""
    choice = _Choice(turns, best, count)
    choice.add_turns(int(budget * RECENT_SHARE))
    if not choice.recent and turns:
        choice.add_turns(budget, most=1)  # the newest turn comes first, even if it takes more than its share
    if not choice.recent and turns:
        return _truncated(turns, best, budget, count)
    choice.add_recalled(budget)
    choice.add_turns(budget)
    return choice.context(budget)


@dataclass
class _Choice:
    """Lines that were chosen: a prefix of `turns`, and some of `best`, in the order in which they were chosen."""

    turns: Sequence[Line]
    best: Sequence[Line]
    count: Count
    recent: list[Line] = field(default_factory=list)
    recalled: list[Line] = field(default_factory=list)
    spent: int = 0
    _costs: dict[str, int] = field(default_factory=dict)

    def add_turns(self, budget: int, most: int | None = None) -> None:
        """Add the next older turns until one does not fit. A recalled line that says the same gives way to its turn."""
        for line in self.turns[len(self.recent) :][:most]:
            doubles = [one for one in self.recalled if one.id == line.id or one.key == line.key]
            spent = self.spent + self._cost(line, "recent", self.recent) - sum(self._costs[one.id] for one in doubles)
            if spent > budget:
                return
            self.recalled = [one for one in self.recalled if one not in doubles]
            self.recent.append(line)
            self.spent = spent

    def add_recalled(self, budget: int) -> None:
        """Add recalled lines that fit and say what no chosen turn says."""
        for line in self.best:
            if any(one.id == line.id or one.key == line.key for one in self.recent):
                continue
            spent = self.spent + self._cost(line, "recalled", self.recalled)
            if spent <= budget:
                self.recalled.append(line)
                self.spent = spent

    def _cost(self, line: Line, section: str, chosen: list[Line]) -> int:
        """The tokens that a line adds to its section, the first one with the heading; an estimate: see `context`."""
        if line.id not in self._costs:
            self._costs[line.id] = self.count(f"{rendered(line)}\n")
        return self._costs[line.id] + (0 if chosen else self.count(f"\n{HEADINGS[section]}\n"))

    def context(self, budget: int) -> Context:
        """The context. Tokens of lines need not add up to those of the text, so the last lines may be cut again."""
        recent, recalled = list(self.recent), list(self.recalled)
        while True:
            text = render("", _by_time(recalled), recent[::-1])
            tokens = self.count(text)
            if tokens <= budget:
                break
            if recalled:
                recalled.pop()
            elif len(recent) > 1:
                recent.pop()
            else:
                return _truncated(self.turns, self.best, budget, self.count)
        return _context(self.turns, self.best, recent, recalled, text, tokens)


def _context(
    turns: Sequence[Line],
    best: Sequence[Line],
    recent: Sequence[Line],
    recalled: Sequence[Line],
    text: str,
    tokens: int,
) -> Context:
    chosen = {line.id for line in (*recent, *recalled)}
    said = {line.key for line in (*recent, *recalled)}
    unsaid = (line for line in best if line.key not in said)
    others = {line.id: line for line in (*turns, *unsaid) if line.id not in chosen}
    return Context(
        recalled=tuple(_by_time(recalled)),
        recent=tuple(recent[::-1]),
        cut=tuple(_by_time(others.values())),
        text=text,
        tokens=tokens,
    )


def _truncated(turns: Sequence[Line], best: Sequence[Line], budget: int, count: Count) -> Context:
    """A context of the beginning of the newest turn; empty if not even one character of it fits."""
    newest = turns[0] if turns else None
    low, high = 0, len(newest.text) if newest else 0
    text = ""
    while newest is not None and low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        shorter = render("", [], [replace(newest, text=newest.text[:middle] + ELLIPSIS)])
        if count(shorter) <= budget:
            low, text = middle, shorter
        else:
            high = middle - 1
    if newest is None or not text:
        return _context(turns, best, [], [], "", 0)
    return replace(_context(turns, best, [newest], [], text, count(text)), is_truncated=True)


def _with_summary(context: Context, summary: str, budget: int, count: Count) -> Context:
    """The context with as much of the summary as fits."""
    low, high = 0, len(summary)
    found = context
    while low < high:
        middle = (low + high + 1) // 2
        part = summary if middle == len(summary) else summary[:middle] + ELLIPSIS
        text = render(part, context.recalled, context.recent)
        if (tokens := count(text)) <= budget:
            low, found = middle, replace(context, summary=part, text=text, tokens=tokens)
        else:
            high = middle - 1
    return found


def render(summary: str, recalled: Sequence[Line], recent: Sequence[Line]) -> str:
    """The text of a context; empty without lines."""
    sections = {
        "summary": [summary] if summary else [],
        "recalled": [rendered(line) for line in recalled],
        "recent": [rendered(line) for line in recent],
    }
    return "\n\n".join("\n".join([HEADINGS[name], *lines]) for name, lines in sections.items() if lines)


def rendered(line: Line) -> str:
    """A line. Further lines of its text are indented, so that no text looks like a line of another speaker."""
    speaker = " ".join(line.speaker.split())[:LONGEST_SPEAKER]
    text = "\n  ".join(line.text.splitlines())
    return f"[{line.time:%Y-%m-%d %H:%M}] {f'{speaker}: ' if speaker else ''}{text}"


def _by_time(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (_utc(line.time), line.id))


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC)


def _once(lines: Iterable[Line]) -> list[Line]:
    return list({line.id: line for line in lines}.values())


def _without_doubles(lines: Iterable[Line]) -> list[Line]:
    """The lines without those whose text an earlier one has."""
    found: dict[str, Line] = {}
    for line in _once(lines):
        found.setdefault(line.key, line)
    return list(found.values())
