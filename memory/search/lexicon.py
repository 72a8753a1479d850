"""Vectors of single words, kept while the process lives: a conversation has the same words again and again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import numpy as np

from memory.embedding import is_remote, model_name

from .embedders import Embedder, EmbedderError, Vectors
from .embedders.checked import document_vectors
from .embedders.static import StaticEmbedder

logger = logging.getLogger(__name__)

MOST = 20_000
"""Words that are kept of a model, 20 MB with 256 dimensions. Beyond, it starts anew with those of the last question."""


class Lexicon:
    """What an embedder makes of single words. Safe to share: what two threads make at once is the same."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._kept: dict[str, Vectors] = {}

    def vectors(self, words: Sequence[str]) -> Vectors:
        """Of shape (words, dimension), each of length 1 or zeros; the words are distinct.

        Zeros for words that the embedder fails for, which the log tells: a search then goes on with what it has.
        """
        kept = self._kept
        found = {word: vector for word in words if (vector := kept.get(word)) is not None}
        if unknown := [word for word in words if word not in found]:
            try:
                found |= zip(unknown, document_vectors(self.embedder, unknown), strict=True)
            except EmbedderError as error:
                logger.warning("Words are not compared by their vectors: %s", error)
                return np.zeros((len(words), self.embedder.dimension), np.float32)
            self._kept = found if len(kept) + len(unknown) > MOST else kept | found
        made = np.array([found[word] for word in words], np.float32)
        return made.reshape(len(words), self.embedder.dimension)


_lexicons: dict[str, Lexicon] = {}
_embedded = cache(StaticEmbedder)


def lexicon_of(embedder: Embedder | None) -> Lexicon | None:
    """The embedder's, one for each model in the process; None without an embedder.

    One that takes its time is not asked for each word: the embedded model is in its place.
    """
    if embedder is None:
        return None
    if is_remote(embedder):
        return lexicon_of(_embedded())
    known = _lexicons.get(name := model_name(embedder))
    if known is None or known.embedder is not embedder:
        known = _lexicons[name] = Lexicon(embedder)
    return known
