"""The app's embedder, as CrewAI calls one.

A storage backend of CrewAI gets the vector of a question, not its text. This embedder remembers the texts of the
vectors that it made last, so that the storage can search by words too.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

REMEMBERED: Final = 10_000
"""Texts that are remembered. CrewAI searches right after it has embedded a batch."""
DIMENSION: Final = 256
"""Of vectors without a model."""


class AppEmbedder:
    """`MEMORY["EMBEDDER"]` as a function of texts that returns their vectors.

    A text that the model knows nothing of, and any text without a model, has a vector of its own that is near no other:
    it is found by its words. Raises `memory.exceptions.StorageError` if the model fails.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, input: Sequence[str]) -> list[list[float]]:
        """The vectors of the texts, in their order."""
        texts = list(input)
        vectors = [
            vector if vector.any() else _unlike_others(text, len(vector))
            for text, vector in zip(texts, self._embedded(texts), strict=True)
        ]
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                self._texts[_key(vector)] = text
                self._texts.move_to_end(_key(vector))
            while len(self._texts) > REMEMBERED:
                self._texts.popitem(last=False)
        return [vector.tolist() for vector in vectors]

    def text_of(self, vector: Sequence[float]) -> str | None:
        """The text of a vector that was made here; None for others."""
        with self._lock:
            return self._texts.get(_key(vector))

    @staticmethod
    def _embedded(texts: Sequence[str]) -> Any:
        from memory.conf import memory_settings  # needs django.setup()
        from memory.exceptions import storage_errors  # needs django.setup()
        from memory.search.embedders.checked import document_vectors  # needs django.setup()

        with storage_errors("Embedding texts"):
            embedder = memory_settings.embedder
            if embedder is None:
                return np.zeros((len(texts), DIMENSION), np.float32)
            return document_vectors(embedder, texts)


def _unlike_others(text: str, dimension: int) -> Any:
    """A vector of length 1 whose direction is determined by the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _key(vector: Any) -> bytes:
    return hashlib.sha256(np.asarray(vector, np.float32).tobytes()).digest()
