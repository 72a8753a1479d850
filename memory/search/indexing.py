"""What is stored of a text so that it can be found: its terms, its vector, and which versions made them.

An item whose `embedding_model` is not the configured embedder's has no vector that a search could use: it is pending.
Where the embedder is remote that is so after every write, until `index` or `manage.py memory_embed` completes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memory.conf import memory_settings
from memory.fields import content_hash

from .embedders import Embedder, EmbedderError, Vectors
from .embedders.base import is_remote, model_name, normalized
from .terms import VERSION, terms

if TYPE_CHECKING:
    from memory.models import MemoryItem

logger = logging.getLogger(__name__)

# What is read of a text, in characters; what is longer is found by its beginning.
MAX_CHARACTERS = 50_000
# Entries of an item in an index of its terms: https://firebase.google.com/docs/firestore/quotas (40,000 of a document)
MAX_TERMS = 1_000
# A model reads so many characters at once; pieces share some, so that no sentence is cut in each of them.
PIECE_CHARACTERS, SHARED_CHARACTERS = 2_000, 200

TEXT_FIELDS = frozenset({"terms", "terms_version", "text_embedding", "embedding_model"})


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
    vectors = embedder.embed_documents([piece for some in cut for piece in some])
    if all(len(some) == 1 for some in cut):
        return vectors
    ends = np.cumsum([len(some) for some in cut])
    return normalized(
        np.stack([vectors[end - len(some) : end].mean(axis=0) for some, end in zip(cut, ends, strict=True)])
    )


def prepare(items: Sequence[MemoryItem]) -> None:
    """Give the items what follows from their texts, before they are written; those that have it are left alone.

    Vectors are made together, and not at all by a remote embedder. An embedder that fails leaves its items pending.
    """
    language, embedder = memory_settings.language, memory_settings.embedder
    version, model = terms_version(language), "" if embedder is None else model_name(embedder)
    changed = []
    for item in items:
        known = vars(item)  # what was not loaded is not asked for
        if "text_content" not in known:
            continue
        found = content_hash(item.text_content)
        if (is_new := known.get("content_hash") != found) or known.get("terms_version") != version:
            item.content_hash, item.terms_version = found, version
            item.terms = distinct_terms(item.text_content, language)
        if is_new or known.get("embedding_model") != model:
            changed.append(item)
    if changed:
        _give_vectors(changed, embedder, model)


def _give_vectors(items: Sequence[MemoryItem], embedder: Embedder | None, model: str) -> None:
    made: Sequence[Sequence[float] | None] = [None] * len(items)
    says_nothing = [not readable(item.text_content).strip() for item in items]
    done = says_nothing
    if embedder is not None and not is_remote(embedder):
        try:
            made = vectors_of(embedder, [item.text_content for item in items])
            done = [True] * len(items)
        except EmbedderError:
            logger.exception("Texts are stored without vectors; manage.py memory_embed will add them.")
    for item, vector, is_done in zip(items, made, done, strict=True):
        item.text_embedding = None if vector is None else list(vector)
        item.embedding_model = model if is_done else ""


def vectors_of(embedder: Embedder, texts: Sequence[str | None]) -> list[list[float] | None]:
    """The texts' vectors as they are stored: None for a text that says nothing to the model."""
    vectors = embed(embedder, texts)
    return [vector.tolist() if vector.any() else None for vector in vectors]


def before_raw_save(instance: Any, raw: bool, **kwargs: Any) -> None:
    """Receiver of `pre_save`: `loaddata` saves past the models' own `save`, and its files have nothing of search."""
    if raw:
        prepare([instance])


def pending(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """Those that were written without the vector that a remote embedder is to make."""
    embedder = memory_settings.embedder
    if embedder is None or not is_remote(embedder):
        return []
    return [item for item in items if not vars(item).get("embedding_model", "-")]


def index(items: Sequence[MemoryItem], using: str) -> None:
    """Called when items that wait for a remote embedder's vectors have been committed. Returns at once."""
    from .later import embed_later  # which builds on what is above

    embed_later([item.pk for item in items], using)
