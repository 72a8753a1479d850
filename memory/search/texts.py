"""Texts as search reads them: the beginning, the terms, the vector without context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory.embedding import Embedder, Vectors, normalized

from .embedders.checked import document_vectors

# Characters of a text that search reads.
MAX_CHARACTERS = 50_000
# Characters that a model reads at once; pieces overlap, so that a sentence is whole in at least one of them.
PIECE_CHARACTERS, SHARED_CHARACTERS = 2_000, 200


def readable(text: str | None) -> str:
    """The part of a text that search reads."""
    return "" if text is None else text[:MAX_CHARACTERS]


def pieces(text: str) -> list[str]:
    """A text in overlapping pieces of 2,000 characters; at least one."""
    step = PIECE_CHARACTERS - SHARED_CHARACTERS
    starts = range(0, max(1, len(text) - SHARED_CHARACTERS), step)
    return [text[start : start + PIECE_CHARACTERS] for start in starts]


class Budget:
    """How many characters of texts are embedded; the vectors of further texts are estimates."""

    def __init__(self, characters: int) -> None:
        self.left = characters

    def covers(self, text: str) -> bool:
        """Whether a text is within the budget, which is then smaller."""
        fits = len(text) <= self.left
        self.left -= len(text) if fits else 0
        return fits


def embed_within(budget: Budget | None, embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Vectors as by `embed`; beyond a budget those of the embedder's `embed_quickly`, if it has one."""
    quickly = getattr(embedder, "embed_quickly", None)
    if quickly is None or budget is None:
        return embed(embedder, texts)
    covered = np.fromiter((budget.covers(text) for text in texts), bool, len(texts))
    vectors = np.zeros((len(texts), embedder.dimension), np.float32)
    vectors[covered] = embed(embedder, [text for text, fits in zip(texts, covered, strict=True) if fits])
    vectors[~covered] = quickly([text for text, fits in zip(texts, covered, strict=True) if not fits])
    return vectors


def embed(embedder: Embedder, texts: Sequence[str | None]) -> Vectors:
    """Vectors of shape (texts, dimension): for a long text the mean of its pieces, for an empty text zeros."""
    cut = [pieces(readable(text)) for text in texts]
    vectors = document_vectors(embedder, [piece for of_text in cut for piece in of_text])
    if all(len(of_text) == 1 for of_text in cut):
        return vectors
    ends = np.cumsum([len(of_text) for of_text in cut])
    return normalized(
        np.stack([vectors[end - len(of_text) : end].mean(axis=0) for of_text, end in zip(cut, ends, strict=True)])
    )
