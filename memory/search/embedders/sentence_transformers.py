"""Any model of sentence-transformers. Needs the optional package of that name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from memory.embedding import EmbedderError, Vectors, normalized

BATCH = 64


class SentenceTransformersEmbedder:
    """`model` is a folder, or the name of a model in the local cache: nothing is downloaded.

    `options` are those of `SentenceTransformer`. Raises `EmbedderError` if the package or the model is missing.
    """

    version = "1"
    remote = True

    def __init__(self, model: str = "all-MiniLM-L6-v2", **options: Any) -> None:
        self.name = model
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EmbedderError(
                "SentenceTransformersEmbedder needs sentence-transformers: "
                'pip install "orchestra-memory[sentence-transformers]".'
            ) from error
        try:
            self._model = SentenceTransformer(model, **{"local_files_only": True, **options})
        except (OSError, ValueError) as error:
            raise EmbedderError(f"The model {model!r} is not in the local cache: download it first.") from error

    @cached_property
    def dimension(self) -> int:
        """Measured on a vector, since the name of the method differs between versions of the package."""
        return int(self._model.encode("").shape[-1])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimension)."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        found = self._model.encode(list(texts), batch_size=BATCH, convert_to_numpy=True, show_progress_bar=False)
        return normalized(np.asarray(found, np.float32))

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (dimension,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector
