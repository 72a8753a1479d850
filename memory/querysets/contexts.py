"""The context of items: turns of a conversation and results of a search, as text within a budget of tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from ..conf import configured_embedder, memory_settings
from ..context import Count, Line, Summarize, estimated_tokens, in_context

if TYPE_CHECKING:
    from ..models import MemoryItem

logger = logging.getLogger(__name__)

TOKENS: Final = 2_000
MOST_TOKENS: Final = 1_000_000
TURNS: Final = 20
MOST_TURNS: Final = 1_000
RECALLED: Final = 10


@dataclass(frozen=True)
class ContextOptions:
    """What a context is made of: its budget in tokens, how many turns are read, and the search's options."""

    tokens: int = TOKENS
    turns: int = TURNS
    limit: int = RECALLED
    min_score: float = 0.0


@dataclass(frozen=True)
class MemoryContext:
    """A context for a language model.

    `text` has `tokens` tokens, at most as many as asked for. It was made of the items `recalled` (with `score`) and
    `recent`, each in the order of time, and of `summary`, that of the items in `cut`; "" without a summarizer.
    `is_truncated`: the newest turn alone is above the budget, and its text is cut.
    """

    text: str
    tokens: int
    recalled: list[MemoryItem]
    recent: list[MemoryItem]
    cut: list[MemoryItem]
    summary: str
    is_truncated: bool


def checked(options: ContextOptions) -> ContextOptions:
    """The options. Raises `ValueError` for a number outside its range and `TypeError` for what is no integer."""
    for name, most in (("tokens", MOST_TOKENS), ("turns", MOST_TURNS)):
        number = getattr(options, name)
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name} must be an integer from 1 to {most}, not {number!r}.")
        if not 1 <= number <= most:
            raise ValueError(f"{name} must be 1 to {most}, not {number}.")
    return options


def context_of(turns: Iterable[MemoryItem], found: Iterable[MemoryItem], tokens: int) -> MemoryContext:
    """The context of a conversation's turns, newest first, and of a search's results, best first.

    Items without text, those whose metadata has a true `hidden`, and results that are not valid any more are left out.
    `MEMORY["TOKENIZER"]` counts tokens, and `MEMORY["SUMMARIZER"]` summarises what is cut.
    """
    newest, best = _told(turns), [item for item in _told(found) if getattr(item, "valid", True)]
    items = {item.pk: item for item in (*newest, *best)}
    made = in_context(map(_line, newest), map(_line, best), tokens, token_counter(), _summarizer(items))
    recalled, recent, cut = ([items[line.id] for line in lines] for lines in (made.recalled, made.recent, made.cut))
    return MemoryContext(made.text, made.tokens, recalled, recent, cut, made.summary, made.is_truncated)


def token_counter() -> Count:
    """`MEMORY["TOKENIZER"]`, or the tokenizer of the embedder, or an estimate."""
    if (configured := memory_settings.tokenizer) is not None:
        return configured
    counter: Count | None = getattr(configured_embedder(), "count_tokens", None)
    return counter or estimated_tokens


def _told(items: Iterable[MemoryItem]) -> list[MemoryItem]:
    return [item for item in items if (item.text_content or "").strip() and not item.metadata.get("hidden")]


def _line(item: MemoryItem) -> Line:
    return Line(item.pk, _local(item.timestamp), memory_settings.speaker(item), item.text_content or "")


def _local(time: datetime) -> datetime:
    """A time in the current time zone, or in UTC if that cannot hold it: on the first or the last day of all."""
    try:
        return timezone.localtime(time)
    except OverflowError:
        return time


def _summarizer(items: dict[str, MemoryItem]) -> Summarize | None:
    summarize = memory_settings.summarizer
    return (
        None if summarize is None else lambda cut, tokens: _summary(summarize, [items[line.id] for line in cut], tokens)
    )


def _summary(summarize: Callable[[Sequence[MemoryItem], int], str], cut: Sequence[MemoryItem], tokens: int) -> str:
    """The summary; empty if it fails, since the context is of use without it."""
    try:
        made = summarize(cut, tokens)
    except Exception:  # a setting names this code, so it may raise anything
        logger.exception("MEMORY['SUMMARIZER'] failed: a context has no summary.")
        return ""
    if not isinstance(made, str):
        logger.error("MEMORY['SUMMARIZER'] returned a %s instead of a text.", type(made).__name__)
        return ""
    return made
