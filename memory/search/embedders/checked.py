"""An embedder's vectors as the rest of search may rely on them, whoever wrote the embedder.

What it raises, and vectors that are not what was asked for, are an `EmbedderError` here and nowhere else: a write goes
on without them, and a search tells. An embedder is named by a setting, so it may raise anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memory.embedding import Embedder, EmbedderError, Vectors, normalized

logger = logging.getLogger(__name__)

# Of a length that a model rounded, or none.
NEARLY = 1e-3


def document_vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Vectors of shape (texts, dimension), each of length 1 or zeros. Raises `EmbedderError`."""
    if not texts:
        return np.zeros((0, embedder.dimension), np.float32)
    return _checked(embedder, lambda: embedder.embed_documents(texts), (len(texts), embedder.dimension))


def query_vector(embedder: Embedder, text: str) -> Vectors:
    """A vector of shape (dimension,), of length 1 or zeros. Raises `EmbedderError`."""
    return _checked(embedder, lambda: embedder.embed_query(text), (embedder.dimension,))


def _checked(embedder: Embedder, made: Callable[[], Any], shape: tuple[int, ...]) -> Vectors:
    try:
        vectors = np.asarray(made(), np.float32)
    except EmbedderError:
        raise
    except Exception as error:  # the edge to a class that a setting names
        raise EmbedderError(f"{embedder.name} gave no vectors ({type(error).__name__}).") from error
    if vectors.shape != shape:
        raise EmbedderError(f"{embedder.name} gave vectors of shape {vectors.shape} where {shape} was asked for.")
    if not np.isfinite(vectors).all():
        logger.warning("%s gave numbers that are none: these texts are found by their words.", embedder.name)
        return normalized(vectors)
    lengths = np.linalg.norm(vectors, axis=-1)
    as_promised = (lengths == 0) | (np.abs(lengths - 1) < NEARLY)
    return vectors if as_promised.all() else normalized(vectors)
