"""Search of one user's items: from a query to items, best first."""

from __future__ import annotations

from operator import index
from typing import Any, SupportsIndex

from django.utils import timezone

from memory.conf import memory_settings
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet

from .candidates import Source, gather
from .owner import one_user_of
from .passages import ask
from .ranking import rank
from .sources import Memory, source_for

MOST_RESULTS = 100
MOST_CHARACTERS = 10_000  # of a query


def search(items: MemoryItemQuerySet, query: str, limit: int, explain: bool) -> list[MemoryItem]:
    """The items of one user that answer `query` best, best first, each with its `score` (a float).

    With `explain` each has `score_parts`, which add up to the score; otherwise None. Raises `ValueError` for a limit
    outside 1..100, for a query over 10,000 characters, and unless `items` are restricted to one user. A query without
    letters, digits or anything that the embedder knows has no results.
    """
    text = readable_question(query)
    if not isinstance(limit, SupportsIndex):
        raise TypeError(f"limit must be an integer from 1 to {MOST_RESULTS}, not {limit!r}.")
    if not 1 <= (limit := index(limit)) <= MOST_RESULTS:
        raise ValueError(f"limit must be 1 to {MOST_RESULTS}, not {limit}.")
    one_user_of(items)
    memory = Memory(items, memory_settings.language, memory_settings.embedder, memory_settings.speaker)
    return answers(memory, source_for(memory), text, limit, explain)


def answers(memory: Memory, source: Source, text: str, limit: int, explain: bool) -> list[MemoryItem]:
    """The items of a memory that answer a question best, as `search` returns them."""
    question = ask(text, memory.language, memory.embedder)
    gathered = gather(source, question, limit)
    now, best = timezone.now(), []
    for ranked in rank(gathered.question, gathered.pool):
        item: Any = memory.found[ranked.passage.id]
        if item.expiration is not None and item.expiration <= now:
            continue
        item.score, item.score_parts = ranked.score, dict(ranked.parts) if explain else None
        best.append(item)
        if len(best) == limit:
            break
    return best


def readable_question(query: str) -> str:
    """The query without characters that no text has. Raises `TypeError` and `ValueError`."""
    if not isinstance(query, str):
        raise TypeError(f"The query must be a string, not a {type(query).__name__}.")
    if len(query) > MOST_CHARACTERS:
        raise ValueError(f"The query must have at most {MOST_CHARACTERS} characters, not {len(query)}.")
    return query.replace("\0", " ").encode(errors="replace").decode().strip()
