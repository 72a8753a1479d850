"""Ranks the entries of a corpus by how well they answer a question. Pure, with numpy.

The order is that of a sum: each feature (`features`) times its weight (`weights`). The weights depend on the shape of
the memory and of the question, which are seen in the data: whether the memory is a dialogue of equals or that of a
person with an assistant, whether the question is in a script without spaces, and whether it is only a few words. The
score says how likely a result is evidence (`confidence`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats
from .asking import Asked, asked
from .confidence import common, confidence, signals
from .corpus import Corpus, Integers, Places
from .features import FEATURES, features
from .view import View
from .weights import BY_WORDS, WEIGHTS

__all__ = ["Asked", "Ranked", "Ranking", "asked", "rank", "ranking"]

SHAPES = ("every", "equals", "unspaced", "brief")
"""The shapes that weights are for: every memory, a dialogue of equals, a question in a script without spaces, and one
to three words as they are typed into a search box."""

_OTHERS = ("assistant", "tool", "system")


class Ranked(NamedTuple):
    """A place in the corpus, its score from 0 to 1, and the parts of its order.

    Results are in the order of the sums of their parts, and so are their scores. `shares` are the parts in the order of
    `FEATURES`, `same` the places of other allowed entries with this text.
    """

    place: int
    score: float
    shares: Floats
    same: tuple[int, ...] = ()

    @property
    def parts(self) -> Mapping[str, float]:
        """The parts that are not 0, by feature."""
        return {name: float(part) for name, part in zip(FEATURES, self.shares, strict=True) if part}


class Ranking(Sequence[Ranked]):
    """At most `limit` ranked entries, best first, each text once. They are made when they are read."""

    def __init__(self, places: Places, digests: Integers, scores: Floats, shares: Floats, limit: int) -> None:
        self._places, self._scores, self._shares = places.tolist(), scores.tolist(), shares
        texts: dict[int, int] = {}
        self._others: dict[int, list[int]] = {}
        for at, digest in enumerate(digests.tolist()):
            if (first := texts.setdefault(digest, at)) != at:
                self._others.setdefault(first, []).append(self._places[at])
        self._firsts = list(texts.values())[:limit]

    def __len__(self) -> int:
        return len(self._firsts)

    @overload
    def __getitem__(self, number: int) -> Ranked: ...
    @overload
    def __getitem__(self, number: slice) -> list[Ranked]: ...
    def __getitem__(self, number: int | slice) -> Ranked | list[Ranked]:
        if isinstance(number, slice):
            return [self[position] for position in range(*number.indices(len(self)))]
        at = self._firsts[number]
        return Ranked(self._places[at], self._scores[at], self._shares[at], tuple(self._others.get(at, ())))


def rank(question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None = None, limit: int = 10) -> list[Ranked]:
    """The entries that answer a question best, best first, each text once; equal scores newest first, then by id.

    `allowed` is a mask of the entries that may be found; others still count as neighbours and for rarities.
    """
    return list(ranking(question, corpus, allowed, limit))


def ranking(question: Asked, corpus: Corpus, allowed: NDArray[np.bool_] | None, limit: int) -> Ranking:
    """As `rank`."""
    if not len(corpus):
        none = np.zeros(0)
        return Ranking(np.zeros(0, np.intp), none, none, none, limit)
    view = View(question, corpus, allowed)
    found = features(view)
    parts = found.values * weights(view)
    sums = parts.sum(axis=1)
    scores = confidence(signals(common(view, found), sums))
    order = _order(sums, view.places, corpus)
    places = view.places[order]
    return Ranking(places, corpus.digest[places], scores[order], parts[order], limit)


def _order(sums: Floats, places: Places, corpus: Corpus) -> Places:
    """The order of candidates: by their sums, then by time, newest first, then by id."""
    time = corpus.time[places]
    order: Places = np.lexsort((-time, -sums))
    is_tied = (np.diff(sums[order]) == 0) & (np.diff(time[order]) == 0)
    if is_tied.any():
        keys = (-sums).tolist(), (-time).tolist(), [corpus.ids[place] for place in places.tolist()], range(len(places))
        order = np.array([at for *_, at in sorted(zip(*keys, strict=True))], np.intp)
    return order


def shapes(view: View) -> Floats:
    """How much of each of `SHAPES` a question and a memory have: 0 to 1."""
    return np.array([1.0, float(view.corpus.used_roles.isdisjoint(_OTHERS)), view.unspaced, view.brief])


def weights(view: View) -> Floats:
    """The weight of each feature for this question and memory: others if there are only words to compare.

    Those for words as typed into a search box are the same then: by them the turn that has the words comes first.
    """
    is_by_meaning = 1.0 if view.has_vectors else view.brief
    mixed: Floats = shapes(view) @ (is_by_meaning * _TABLE + (1.0 - is_by_meaning) * _BY_WORDS)
    return mixed


def _table(weights: Mapping[str, Mapping[str, float]]) -> Floats:
    return np.array([[weights.get(name, {}).get(shape, 0.0) for name in FEATURES] for shape in SHAPES])


_TABLE, _BY_WORDS = _table(WEIGHTS), _table(BY_WORDS)
