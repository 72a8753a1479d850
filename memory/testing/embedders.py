"""A deterministic embedder for tests, without a model."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from memory.embedding import normalized
from memory.search.embedders import Vectors
from memory.search.terms import terms


class DeterministicEmbedder:
    """Sums a pseudo-random vector per term, so that texts with common words are near each other."""

    name = "deterministic"
    version = "1"

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimension)."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for term in terms(text):
                vectors[row] += self._direction(term)
        return normalized(vectors)

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (dimension,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector

    def _direction(self, term: str) -> Vectors:
        seed = int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), "big")
        return np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
