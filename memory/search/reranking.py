"""Reorders the best results by a reranker of `MEMORY["RERANKER"]`, such as a cross-encoder.

A reranker sees the first `MOST_RERANKED` results. It has `MEMORY["RERANKER_TIMEOUT"]` seconds for a search; if it
is late, fails, or returns something else than a number for each text, the order and the scores are the search's own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache, lru_cache
from threading import BoundedSemaphore
from typing import Any, NamedTuple, Protocol, runtime_checkable

from django.utils.module_loading import import_string

from memory.conf import memory_settings

logger = logging.getLogger(__name__)

MOST_RERANKED = 50
MOST_CHARACTERS = 4_000
"""Of each text that a reranker sees."""
MOST_AT_ONCE = 4
"""Calls at once in a process. With more, late ones included, the order is the search's own."""


@runtime_checkable
class Reranker(Protocol):
    """Scores texts by how well they answer a question. Its methods must be thread-safe, and use no database.

    It may be called in another thread. A call that is late is not cancelled. If it has a true attribute
    `probabilities`, its numbers say how likely a text answers the question, 0 to 1: they are then the scores of the
    results, and `min_score` applies to them.
    """

    def name(self) -> str:
        """The name of the model, for logs."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number for each of at most 50 texts, higher for better answers. Raises anything if it fails."""


class RerankerError(Exception):
    """A reranker cannot be used, or returned no valid scores; the message names it."""


class Reranked(NamedTuple):
    """The place that a result had, and its score by the reranker; None: it keeps its own."""

    place: int
    score: float | None = None


def reranked(question: str, texts: Sequence[str]) -> list[Reranked]:
    """The results with these texts, the first 50 in the order of the configured reranker.

    Equal scores keep their order. Never raises because of a reranker: the first error of each kind is logged, and the
    order stays.
    """
    unchanged = [Reranked(place) for place in range(len(texts))]
    if memory_settings.reranker is None or not texts:
        return unchanged
    try:
        reranker = make_reranker(memory_settings.reranker)
        if len(texts) < 2 and not _has_probabilities(reranker):
            return unchanged
        cut = [text[:MOST_CHARACTERS] for text in texts[:MOST_RERANKED]]
        scores = scores_in_time(reranker, question, cut, memory_settings.reranker_timeout)
    except RerankerError as error:
        _log_once(str(error))
        return unchanged
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    known = _has_probabilities(reranker)
    return [*(Reranked(place, scores[place] if known else None) for place in order), *unchanged[len(order) :]]


def sets_scores() -> bool:
    """Whether the configured reranker sets the scores of results."""
    try:
        return memory_settings.reranker is not None and _has_probabilities(make_reranker(memory_settings.reranker))
    except RerankerError:  # `reranked` logs it
        return False


def _has_probabilities(reranker: Reranker) -> bool:
    return bool(getattr(reranker, "probabilities", False))


def scores_in_time(reranker: Reranker, question: str, texts: Sequence[str], seconds: float) -> list[float]:
    """The scores of texts. Raises `RerankerError` after `seconds`, and for any other failure."""
    if not _free.acquire(blocking=False):
        raise RerankerError(f"All {MOST_AT_ONCE} calls of a reranker at once are still running.")
    try:
        future = _pool().submit(reranker.score, question, texts)
    except RuntimeError as error:  # the interpreter is shutting down
        _free.release()
        raise RerankerError(f"A reranker cannot be called: {error}.") from error
    future.add_done_callback(lambda done: _free.release())
    return _checked(_result(reranker, future, seconds), len(texts), reranker)


def _result(reranker: Reranker, future: Future[Any], seconds: float) -> Any:
    try:
        return future.result(seconds)
    except FutureTimeoutError as error:
        future.cancel()
        raise RerankerError(f"{reranker.name()} did not return scores within {seconds} s.") from error
    except Exception as error:  # a setting names this code, so it may raise anything
        raise RerankerError(f"{reranker.name()} failed ({type(error).__name__}).") from error


def _checked(scores: Any, count: int, reranker: Reranker) -> list[float]:
    try:
        found = [float(score) for score in scores]
    except (TypeError, ValueError) as error:
        raise RerankerError(f"{reranker.name()} returned no numbers.") from error
    if len(found) != count or not all(map(math.isfinite, found)):
        raise RerankerError(f"{reranker.name()} returned no finite number for each of {count} texts.")
    if _has_probabilities(reranker) and not all(0 <= score <= 1 for score in found):
        raise RerankerError(f"{reranker.name()} returned numbers that are no probabilities.")
    return found


def make_reranker(path: Any) -> Reranker:
    """The reranker at a dotted path, created once per process. Raises `RerankerError`."""
    if not isinstance(path, str):
        raise RerankerError(f"RERANKER must be a dotted path, not {path!r}.")
    return _made_reranker(path)


@lru_cache(maxsize=8)
def _made_reranker(path: str) -> Reranker:
    try:
        made = import_string(path)()
    except RerankerError:
        raise
    except Exception as error:  # a setting names this code, so it may raise anything
        raise RerankerError(f"{path!r} cannot be loaded: {error}") from error
    if not isinstance(made, Reranker):
        raise RerankerError(f"{path!r} is not a reranker: it lacks `name` or `score`.")
    return made


_free = BoundedSemaphore(MOST_AT_ONCE)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_AT_ONCE, "rerank")


@cache
def _log_once(problem: str) -> None:
    """Every search may have the same problem; it is logged once per process."""
    logger.error("Results are not reranked: %s", problem)
