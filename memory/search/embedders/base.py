"""Deprecated: renamed to `memory.embedding` in 0.2; this name is removed in 0.3."""

import warnings

from memory.embedding import Embedder, EmbedderError, NoEmbedderError, Vectors, is_remote, model_name, normalized

__all__ = ["Embedder", "EmbedderError", "NoEmbedderError", "Vectors", "is_remote", "model_name", "normalized"]

warnings.warn(
    "memory.search.embedders.base is renamed to memory.embedding; the old name is removed in 0.3.",
    DeprecationWarning,
    stacklevel=2,
)
