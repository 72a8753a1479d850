"""How near the vectors of a candidate, its pieces, its neighbours and its session are to the question's."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from memory.embedding import Vectors

from ..arrays import Floats, unit, wide
from ..corpus import Corpus, Integers, Places
from ..view import View

CONTEXT = (1.0, 0.8, 0.6, 0.4)  # shares of a turn and of the turns before it

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
    around = np.stack([places, *(view.beside(distance) for distance in (-1, -2, -3, 1))])
    near = _Near(corpus, np.unique(np.append(np.where(around >= 0, corpus.rows[around], -1), view.piece_rows[0])), mean)
    own, before, *earlier, after = (near.places_of(some) for some in np.where(around >= 0, corpus.rows[around], -1))
    pieces, of = near.places_of(view.piece_rows[0]), view.piece_rows[1]
    in_context = near.vectors[own]
    for share, some in zip(CONTEXT[1:], (before, *earlier), strict=True):
        in_context += np.float32(share) * near.vectors[some]
    with_before = near.vectors[own] + np.float32(0.5) * near.vectors[before]
    session = corpus.session[places]
    found: dict[str, Vectors] = {}
    for name, vector in (("", question.vector), ("_content", question.content_vector)):
        cosine, centred = near.vectors @ vector, near.centred(unit(vector - mean))
        best = np.full(len(corpus.sessions), -1.0)
        np.maximum.at(best, session, centred[own])
        found |= {
            f"own{name}": cosine[own],
            f"part{name}": _best(cosine[pieces], of, len(own)),
            f"centred{name}": centred[own],
            f"centred_part{name}": _best(centred[pieces], of, len(own)),
            f"context{name}": _cosines(in_context, vector),
            f"with_before{name}": _cosines(with_before, vector),
            f"near_before{name}": centred[before],
            f"near_after{name}": centred[after],
            f"near_session{name}": best[session],
        }
    return {name: values.astype(np.float64) for name, values in found.items()}


class _Near:
    """The vectors of some rows, in order and each once; zeros for the row -1."""

    def __init__(self, corpus: Corpus, rows: Places, mean: Vectors) -> None:
        self.rows = rows
        self.mean = mean
        self.vectors = wide(corpus, rows)
        self.vectors[rows < 0] = 0

    def places_of(self, rows: Places) -> Places:
        """Where the vectors of these rows are."""
        return np.searchsorted(self.rows, rows)

    def centred(self, toward: Vectors) -> Vectors:
        """The cosine of each vector, minus the mean, with a vector of length 1; 0 for zeros."""
        projected = self.vectors @ toward - self.mean @ toward
        cosines: Vectors = np.divide(projected, self._apart, out=np.zeros_like(projected), where=self._apart > 1e-3)
        return cosines

    @cached_property
    def _apart(self) -> Vectors:
        """The distance of each vector from the mean; 0 for zeros."""
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        apart = np.sqrt(np.maximum(squares - 2 * (self.vectors @ self.mean) + self.mean @ self.mean, 0))
        found: Vectors = np.where(squares > 0, apart, 0)
        return found


def _cosines(vectors: Vectors, vector: Vectors) -> Vectors:
    """The cosine of each vector with a vector of length 1; 0 for zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    products = vectors @ vector
    cosines: Vectors = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-6)
    return cosines


def _best(values: Vectors, of: Integers, count: int) -> Vectors:
    best: Vectors = np.full(count, -1.0, np.float32)
    np.maximum.at(best, of, values)
    return best
