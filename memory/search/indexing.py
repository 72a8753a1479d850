"""Computes the fields of an item that search uses: the vector of its text, and the model that produced it.

An item is pending if its `embedding_model` is not the configured embedder: search has no vector of it. With a remote
embedder items are pending after every write, until `background` or `manage.py memory_embed` completes them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from memory.conf import configured_embedder
from memory.embedding import has_vectors_at_write, is_deferred, is_remote, model_name
from memory.fields import content_hash
from memory.models import MemoryItem

from .embedders import EmbedderError
from .encrypted import stores_vectors
from .texts import embed, readable

logger = logging.getLogger(__name__)


def prepare(items: Sequence[MemoryItem]) -> None:
    """Compute the fields that depend on the text alone, before the items are written. Unchanged texts are skipped.

    An item with a new text has no vector afterwards. It is not pending if it never has one: an empty text, or any text
    with an embedder whose vectors only the index has.
    """
    embedder = configured_embedder()
    model = None if embedder is None else model_name(embedder)
    has_none = embedder is not None and is_deferred(embedder)
    for item in items:
        known = vars(item)  # deferred fields are not loaded: they have not changed
        if "text_content" not in known:
            continue
        found = content_hash(item.text_content)
        is_new = known.get("content_hash") != found
        if is_new:
            item.content_hash = found
        if is_new or known.get("embedding_model", model) != model:
            item.text_embedding = None
            waits = not has_none and stores_vectors() and readable(item.text_content).strip()
            item.embedding_model = "" if model is None or waits else model


def awaits_vector(item: MemoryItem) -> bool:
    """Whether the item still needs a vector, which is computed before the write."""
    known = vars(item)
    if "text_content" not in known or known.get("embedding_model") != "" or not readable(item.text_content).strip():
        return False
    if not stores_vectors():
        return False
    embedder = configured_embedder()
    return embedder is not None and has_vectors_at_write(embedder)


def reserved_values(item: MemoryItem) -> dict[str, Any]:
    """Values as large as those that `add_vectors` will set on the item, by field."""
    embedder = configured_embedder() if awaits_vector(item) else None
    if embedder is None:
        return {}
    return {"text_embedding": [0.0] * embedder.dimension, "embedding_model": model_name(embedder)}


def add_vectors(items: Sequence[MemoryItem], *, final: bool = True) -> None:
    """Compute the vectors of items that need one.

    If the embedder fails, the items are stored without vectors and stay pending; logged if this is the `final` attempt.
    """
    embedder = configured_embedder()
    waiting = [item for item in items if awaits_vector(item)]
    if embedder is None or not waiting:
        return
    places = {text: place for place, text in enumerate(dict.fromkeys(item.text_content for item in waiting))}
    try:
        vectors = embed(embedder, list(places))
    except EmbedderError:
        if final:
            logger.exception("Texts are stored without vectors; manage.py memory_embed will add them.")
        return
    for item in waiting:
        vector = vectors[places[item.text_content]]
        item.text_embedding = vector.tolist() if vector.any() else None
        item.embedding_model = model_name(embedder)


def pending(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """The items that were written without the vector of a remote embedder."""
    embedder = configured_embedder()
    if embedder is None or not is_remote(embedder):
        return []
    return [item for item in items if not vars(item).get("embedding_model", "-")]
