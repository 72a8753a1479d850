"""Calls embedders and checks their vectors, so that the rest of search can rely on them.

Any error of an embedder, and vectors of a wrong shape, raise `EmbedderError`. Writes then continue without vectors, and
searches fail. An embedder is named by a setting, so it may raise anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from memory.embedding import Embedder, EmbedderError, Vectors, normalized

logger = logging.getLogger(__name__)

# Rounding errors of lengths that models return.
NEARLY = 1e-3


def document_vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Vectors of shape (texts, dimension), each of length 1 or zeros. Raises `EmbedderError`."""
    if not texts:
        return np.zeros((0, embedder.dimension), np.float32)
    return _checked(embedder, lambda: embedder.embed_documents(texts), (len(texts), embedder.dimension))


def query_vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Vectors of queries, of shape (texts, dimension), each of length 1 or zeros. Raises `EmbedderError`.

    An embedder may have `embed_queries(texts)`, which takes less time than `embed_query(text)` for each.
    """
    together = getattr(embedder, "embed_queries", None)
    if together is not None:
        return _checked(embedder, lambda: together(texts), (len(texts), embedder.dimension))
    each = [_checked(embedder, partial(embedder.embed_query, text), (embedder.dimension,)) for text in texts]
    return np.array(each, np.float32)


def _checked(embedder: Embedder, made: Callable[[], Any], shape: tuple[int, ...]) -> Vectors:
    try:
        vectors = np.asarray(made(), np.float32)
    except EmbedderError:
        raise
    except Exception as error:  # a setting names this class, so it may raise anything
        raise EmbedderError(f"{embedder.name} failed ({type(error).__name__}).") from error
    if vectors.shape != shape:
        raise EmbedderError(f"{embedder.name} returned vectors of shape {vectors.shape}, not {shape}.")
    if not np.isfinite(vectors).all():
        logger.warning("%s returned NaN or infinite values: these texts are found by their words only.", embedder.name)
        return normalized(vectors)
    lengths = np.linalg.norm(vectors, axis=-1)
    as_promised = (lengths == 0) | (np.abs(lengths - 1) < NEARLY)
    return vectors if as_promised.all() else normalized(vectors)
