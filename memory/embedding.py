"""The protocol of embedders, their errors, and how their vectors are named.

`memory.search.embedders` has the embedders themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]
else:
    Vectors = Any  # numpy is slow to import


@runtime_checkable
class Embedder(Protocol):
    """Converts texts to vectors. Vectors of embedders with different names, versions or dimensions are not compared.

    Vectors have length 1, or are zeros for a text without meaning for the model. Methods must be thread-safe. An
    embedder with the attribute `remote = True` is too slow for writes: its texts are embedded after the commit.
    """

    @property
    def name(self) -> str:
        """The name of the model."""

    @property
    def version(self) -> str:
        """The version; it must change if the vector of the same text changes."""

    @property
    def dimension(self) -> int:
        """The length of a vector, at most 2,048 (Firestore's limit)."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of stored texts, of shape (texts, dimension)."""

    def embed_query(self, text: str) -> Vectors:
        """The vector of a query, of shape (dimension,)."""


def model_name(embedder: Embedder) -> str:
    """The name that is stored with a vector: `name@version:dimension`.

    Up to version 0.2 it ended in `+context1`: vectors were mixed with those of earlier turns.
    """
    return f"{embedder.name}@{embedder.version}:{embedder.dimension}"


def is_remote(embedder: Embedder) -> bool:
    """Whether texts are embedded after the commit instead of before it."""
    return bool(getattr(embedder, "remote", False))


def is_deferred(embedder: Embedder) -> bool:
    """Whether texts are embedded when they are indexed: items have no vectors, only the index has them."""
    return bool(getattr(embedder, "deferred", False))


def has_vectors_at_write(embedder: Embedder) -> bool:
    """Whether texts are embedded before they are written."""
    return not is_remote(embedder) and not is_deferred(embedder)


class EmbedderError(Exception):
    """An embedder cannot be used or returned no valid vectors; the message names it and the fix."""


class NoEmbedderError(EmbedderError):
    """`EMBEDDER` does not name an embedder: an error of the settings, not of the environment."""


def normalized(vectors: Vectors) -> Vectors:
    """Each row scaled to length 1. Zeros, and rows with NaN or infinities, become zeros."""
    import numpy as np

    finite = np.where(np.isfinite(vectors).all(axis=-1, keepdims=True), vectors, 0).astype(np.float32)
    lengths = np.linalg.norm(finite, axis=-1, keepdims=True)
    result: Vectors = np.divide(finite, lengths, out=np.zeros_like(finite), where=lengths > 0)
    return result
