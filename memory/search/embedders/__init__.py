"""Embedders: texts in, vectors out. `memory.embedding` has the protocol; each module here implements it."""

from memory.embedding import Embedder, EmbedderError, NoEmbedderError, Vectors

__all__ = ["Embedder", "EmbedderError", "NoEmbedderError", "Vectors"]
