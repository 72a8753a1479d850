"""Averaged word vectors of a large model, mostly English. Offline, numpy only, thousands of texts a second."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import numpy as np

from memory.embedding import Vectors, normalized

DIMENSION = 256
BATCH = 64
# Averages of longer texts have little meaning, and time grows with length: docs/search.md, "Stored data".
MAX_CHARACTERS = 20_000
# Files of the package, and the name of the weights' only tensor.
WEIGHTS, WEIGHTS_KEY = "l2_supercat_256.safetensors", "embedding.weight"
TOKENIZER = "l2_supercat_tokenizer_config.json"


class StaticEmbedder:
    """The 16 MB of weights in the package `wordllama`; nothing is downloaded."""

    name = "wordllama-l2-supercat-256"
    dimension = DIMENSION

    @cached_property
    def version(self) -> str:
        """The package's version: its weights are part of it."""
        return version("wordllama")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, 256)."""
        if not texts:
            return np.zeros((0, DIMENSION), np.float32)
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return np.concatenate([_embed(batch) for batch in batches])

    def embed_query(self, text: str) -> Vectors:
        """A vector of shape (256,)."""
        query: Vectors = _embed([text])[0]
        return query

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text by the model's tokenizer, that of Llama 2."""
        return len(_model().tokenizer.encode(text.encode(errors="replace").decode(), add_special_tokens=False).ids)


def _embed(texts: Sequence[str]) -> Vectors:
    # Not by `WordLlama.embed`, which pads each text to the longest of its batch: the averages are the same.
    model = _model()
    cut = [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]
    vectors = np.zeros((len(texts), DIMENSION), np.float32)
    for row, encoding in enumerate(model.tokenizer.encode_batch_fast(cut, add_special_tokens=False)):
        if encoding.ids:
            known = np.minimum(encoding.ids, len(model.embedding) - 1)
            vectors[row] = model.embedding[known].astype(np.float32).mean(axis=0)
    return normalized(vectors)


@dataclass(frozen=True)
class _Model:
    """`embedding` has a row of halves (float16) for each of the tokenizer's ids."""

    tokenizer: Any
    embedding: Any


@lru_cache(maxsize=1)
def _model() -> _Model:
    """The package's two files. Importing it would take pydantic, and 50 MB for a moment: it widens the weights."""
    from safetensors import safe_open  # slow to import, as the tokenizer
    from tokenizers import Tokenizer

    folder = Path(str(distribution("wordllama").locate_file("wordllama")))
    with safe_open(folder / "weights" / WEIGHTS, framework="numpy") as file:
        embedding = file.get_tensor(WEIGHTS_KEY)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / TOKENIZER))
    tokenizer.no_truncation()
    # It keeps whole texts, up to 20 MB of them: its "words" are not separated at spaces.
    with suppress(AttributeError):
        tokenizer.model._resize_cache(0)
    return _Model(tokenizer, embedding.astype(np.float16, copy=False))
