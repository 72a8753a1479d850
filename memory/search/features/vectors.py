"""How near the vectors of a candidate, its pieces, its neighbours and its session are to the question's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory.embedding import Vectors

from ..arrays import Floats, unit
from ..corpus import Corpus, Integers, Places
from ..view import View

CONTEXT = (0.8, 0.6, 0.4)  # shares of the turns before a turn in `context`
WITH_BEFORE = 0.5  # of the turn before in `with_before`

VECTORS = tuple(
    f"{name}{which}"
    for which in ("", "_content")
    for name in (
        *("own", "part", "centred", "centred_part", "context", "with_before"),
        *("near_before", "near_after", "near_session"),
    )
)


def vector_features(view: View) -> dict[str, Floats]:
    """The features in `VECTORS`, each of shape (candidates,)."""
    corpus, question = view.corpus, view.question
    if question.vector is None or question.content_vector is None or not len(corpus.vectors):
        return dict.fromkeys(VECTORS, np.zeros(len(view.places)))
    mean, places = corpus.mean_vector, view.places
    around = np.stack([view.beside[distance] for distance in (0, -1, -2, -3, 1)])
    rows, (piece_rows, of) = np.where(around >= 0, corpus.rows[around], -1), view.piece_rows
    near = _Near(corpus, _distinct(np.append(rows, piece_rows), len(corpus.vectors)))
    own, *earlier, after = near.places_of(rows)
    before, pieces = earlier[0], near.places_of(piece_rows)
    context_lengths, pair_lengths = near.mixed_lengths(own, earlier)
    asked_for = np.stack([question.vector, question.content_vector])
    toward = unit(asked_for - mean)
    *cosines, plain, content, from_mean = near.products(np.concatenate([asked_for, toward, mean[None]]))
    projected = (plain - toward[0] @ mean, content - toward[1] @ mean)
    apart = np.sqrt(np.maximum(near.squares - 2 * from_mean + mean @ mean, 0))
    apart[near.squares == 0] = 0
    session = corpus.session[places]
    found: dict[str, Vectors] = {}
    for name, cosine, toward_it in zip(("", "_content"), cosines, projected, strict=True):
        centred = _divided(toward_it, apart, 1e-3)
        in_context = cosine[own] + sum(
            np.float32(share) * cosine[rows] for share, rows in zip(CONTEXT, earlier, strict=True)
        )
        best = np.full(len(corpus.sessions), -1.0)
        np.maximum.at(best, session, centred[own])
        found |= {
            f"own{name}": cosine[own],
            f"part{name}": _best(cosine[pieces], of, len(own)),
            f"centred{name}": centred[own],
            f"centred_part{name}": _best(centred[pieces], of, len(own)),
            f"context{name}": _divided(in_context, context_lengths, 1e-6),
            f"with_before{name}": _divided(cosine[own] + np.float32(WITH_BEFORE) * cosine[before], pair_lengths, 1e-6),
            f"near_before{name}": centred[before],
            f"near_after{name}": centred[after],
            f"near_session{name}": best[session],
        }
    return {name: values.astype(np.float64) for name, values in found.items()}


class _Near:
    """The vectors of some rows, in order and each once; zeros for the row -1.

    They are not made: each is a row of signed bytes, `steps`, times its scale. `squares` are those of their lengths.
    """

    def __init__(self, corpus: Corpus, rows: Places) -> None:
        self.rows = rows
        self.steps: Vectors = corpus.vectors[rows].astype(np.float32)
        self.scales: Vectors = np.where(rows < 0, np.float32(0), corpus.scales[rows])
        self.squares: Vectors = _squares(self.steps) * self.scales**2

    def places_of(self, rows: Places) -> Places:
        """Where the vectors of these rows are."""
        return np.searchsorted(self.rows, rows)

    def products(self, vectors: Vectors) -> Vectors:
        """The products with vectors, of shape (vectors, rows)."""
        found: Vectors = (vectors @ self.steps.T) * self.scales
        return found

    def mixed_lengths(self, own: Places, earlier: Sequence[Places]) -> tuple[Vectors, Vectors]:
        """The lengths of vectors with shares of those before: in `CONTEXT`, and of the one before `WITH_BEFORE`."""
        mixed, first = self._of(own, 1), self._of(earlier[0], WITH_BEFORE)
        first += mixed
        pair = _squares(first)
        for share, rows in zip(CONTEXT, earlier, strict=True):
            mixed += self._of(rows, share)
        return np.sqrt(_squares(mixed)), np.sqrt(pair)

    def _of(self, places: Places, share: float) -> Vectors:
        """A share of the vectors at these places."""
        found = self.steps[places]
        found *= (self.scales[places] * np.float32(share))[:, None]
        return found


def _distinct(rows: Places, most: int) -> Places:
    """-1, and these rows below `most`, each once and in order."""
    is_used = np.zeros(most + 1, bool)
    is_used[rows] = True
    return np.append(-1, np.flatnonzero(is_used[:-1]))


def _squares(vectors: Vectors) -> Vectors:
    squares: Vectors = np.einsum("ij,ij->i", vectors, vectors)
    return squares


def _divided(values: Vectors, lengths: Vectors, least: float) -> Vectors:
    """The values by lengths; 0 where these are not above `least`."""
    divided: Vectors = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > least)
    return divided


def _best(values: Vectors, of: Integers, count: int) -> Vectors:
    best: Vectors = np.full(count, -1.0, np.float32)
    np.maximum.at(best, of, values)
    return best
