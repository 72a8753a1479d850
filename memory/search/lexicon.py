"""Vectors of single words, kept while the process lives: a conversation has the same words again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .embedders import Embedder, Vectors
from .embedders.base import is_remote, model_name

MOST = 20_000
"""Words that are kept of a model, 20 MB with 256 dimensions. Beyond, it starts anew with those of the last question."""


class Lexicon:
    """What an embedder makes of single words. Safe to share: what two threads make at once is the same."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: dict[str, Vectors] = {}

    def vectors(self, words: Sequence[str]) -> Vectors:
        """Of shape (words, dimension), each of length 1 or zeros. The words are distinct."""
        if not words:
            return np.zeros((0, self._embedder.dimension), np.float32)
        kept = self._kept
        found = {word: vector for word in words if (vector := kept.get(word)) is not None}
        if unknown := [word for word in words if word not in found]:
            found |= zip(unknown, self._embedder.embed_documents(unknown), strict=True)
            self._kept = found if len(kept) + len(unknown) > MOST else kept | found
        return np.stack([found[word] for word in words])


_lexicons: dict[str, Lexicon] = {}


def lexicon_of(embedder: Embedder | None) -> Lexicon | None:
    """The model's, one for the whole process; None without an embedder, and for one that takes its time."""
    if embedder is None or is_remote(embedder):
        return None
    return _lexicons.setdefault(model_name(embedder), Lexicon(embedder))
