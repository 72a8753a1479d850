"""Embedders: texts in, vectors out. The base tells the contract; each other module is one way to fulfil it."""

from .base import Embedder, EmbedderError, NoEmbedderError, Vectors

__all__ = ["Embedder", "EmbedderError", "NoEmbedderError", "Vectors"]
