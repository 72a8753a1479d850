"""The protocol of embedders, their errors, and how their vectors are named.

`memory.search.embedders` has the embedders themselves.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
CONTEXT = "context1"
"""The version of `memory/search/context.py`, which turns vectors of texts into the vectors that are stored."""

EARLIER = 3
"""How many turns before a turn belong to its context."""


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors of texts. Vectors of two embedders that differ in name, version or dimension never meet.

    Vectors have length 1, or are all zeros for a text that says nothing to the model. Implementations may be called
    from several threads at once. One with the attribute `remote = True` takes longer than a write may: texts are
    embedded after they are stored, and not again when they are found.
    """

    @property
    def name(self) -> str:
        """The model, as its maker calls it."""

    @property
    def version(self) -> str:
        """Changes when the same text no longer gives the same vector."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector, at most 2,048 (Firestore's limit)."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """What is remembered, as an array of shape (texts, dimension)."""

    def embed_query(self, text: str) -> Vectors:
        """What is asked, as an array of shape (dimension,)."""


def model_name(embedder: Embedder) -> str:
    """What made a vector, as it is stored with it: `name@version:dimension`, and the version of `context.py`."""
    return f"{embedder.name}@{embedder.version}:{embedder.dimension}+{CONTEXT}"


def is_remote(embedder: Embedder) -> bool:
    """Whether texts are embedded after they are stored, not with it."""
    return bool(getattr(embedder, "remote", False))


class EmbedderError(Exception):
    """An embedder cannot be used, or gave no vectors; the message says which and what to do."""


class NoEmbedderError(EmbedderError):
    """What a dotted path makes is no embedder at all: a mistake of the settings, not of the surroundings."""


def normalized(vectors: Vectors) -> Vectors:
    """Each row with length 1; a row of zeros, or of numbers that are none, as zeros."""
    finite = np.where(np.isfinite(vectors).all(axis=-1, keepdims=True), vectors, 0).astype(np.float32)
    lengths = np.linalg.norm(finite, axis=-1, keepdims=True)
    result: Vectors = np.divide(finite, lengths, out=np.zeros_like(finite), where=lengths > 0)
    return result
