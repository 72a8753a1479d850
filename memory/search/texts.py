"""What search reads of a text: its beginning, its terms, and its vector without context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memory.embedding import Embedder, Vectors, normalized

from .embedders.checked import document_vectors
from .terms import VERSION, terms

# What is read of a text, in characters; what is longer is found by its beginning.
MAX_CHARACTERS = 50_000
# Entries of an item in an index of its terms: https://firebase.google.com/docs/firestore/quotas (40,000 of a document)
MAX_TERMS = 1_000
# A model reads so many characters at once; pieces share some, so that no sentence is cut in each of them.
PIECE_CHARACTERS, SHARED_CHARACTERS = 2_000, 200


def readable(text: str | None) -> str:
    """What search reads of a text."""
    return "" if text is None else text[:MAX_CHARACTERS]


def terms_version(language: str) -> str:
    """What made the terms: the language, and the version of the rules."""
    return f"{language}@{VERSION}"


def distinct_terms(text: str | None, language: str) -> list[str]:
    """The terms that are stored of a text: each once, in order, at most 1,000."""
    return list(dict.fromkeys(terms(readable(text), language)))[:MAX_TERMS]


def pieces(text: str) -> list[str]:
    """A text in overlapping pieces of 2,000 characters; one, where it is no longer."""
    step = PIECE_CHARACTERS - SHARED_CHARACTERS
    starts = range(0, max(1, len(text) - SHARED_CHARACTERS), step)
    return [text[start : start + PIECE_CHARACTERS] for start in starts]


def embed(embedder: Embedder, texts: Sequence[str | None]) -> Vectors:
    """Vectors of shape (texts, dimension): of a long text the mean of its pieces'. Zeros for a text of nothing."""
    cut = [pieces(readable(text)) for text in texts]
    vectors = document_vectors(embedder, [piece for some in cut for piece in some])
    if all(len(some) == 1 for some in cut):
        return vectors
    ends = np.cumsum([len(some) for some in cut])
    return normalized(
        np.stack([vectors[end - len(some) : end].mean(axis=0) for some, end in zip(cut, ends, strict=True)])
    )
