"""Computes the fields of an item that search uses: terms, the vector in context, and the versions of both.

An item is pending if its `embedding_model` is not the configured embedder: search has no vector of it. With a remote
embedder items are pending after every write, until `later` or `manage.py memory_embed` completes them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from memory.conf import configured_embedder, memory_settings
from memory.embedding import is_remote, model_name
from memory.fields import WriteTime, content_hash
from memory.models import MemoryItem
from memory.text_index import Newest

from .context import in_context
from .earlier import Texts, nothing_cached, of_new_items, of_stored_items
from .embedders import Embedder, EmbedderError
from .texts import distinct_terms, embed, readable, terms_version

# An item's attribute: the model, the text, and its vector without context.
OWN_VECTOR = "_own_vector"

logger = logging.getLogger(__name__)


def prepare(items: Sequence[MemoryItem]) -> None:
    """Compute the fields that depend on the text alone, before the items are written. Unchanged texts are skipped.

    An item with a new text has no vector afterwards. An empty text never has one, so its item is not pending.
    """
    version, model = terms_version(memory_settings.language), configured_model()
    for item in items:
        known = vars(item)  # deferred fields are not loaded: they have not changed
        if "text_content" not in known:
            continue
        found = content_hash(item.text_content)
        if (is_new := known.get("content_hash") != found) or known.get("terms_version", version) != version:
            item.content_hash, item.terms_version = found, version
            item.terms = distinct_terms(item.text_content, memory_settings.language)
        if is_new or known.get("embedding_model", model) != model:
            item.text_embedding = None
            item.embedding_model = "" if model is None or readable(item.text_content).strip() else model


def configured_model() -> str | None:
    """The stored name of the configured embedder; None without one, or if it cannot be created."""
    embedder = configured_embedder()
    return None if embedder is None else model_name(embedder)


def awaits_vector(item: MemoryItem) -> bool:
    """Whether the item still needs a vector, which is computed before the write."""
    known = vars(item)
    if "text_content" not in known or known.get("embedding_model") != "" or not readable(item.text_content).strip():
        return False
    embedder = configured_embedder()
    return embedder is not None and not is_remote(embedder)


def reserved_values(item: MemoryItem) -> dict[str, Any]:
    """Values as large as those that `add_vectors` will set on the item, by field."""
    embedder = configured_embedder() if awaits_vector(item) else None
    if embedder is None:
        return {}
    return {"text_embedding": [0.0] * embedder.dimension, "embedding_model": model_name(embedder)}


def embed_texts(items: Sequence[MemoryItem]) -> None:
    """Compute the vectors of the texts of items that need one, without context, before the transaction.

    They stay on the items, for retries of the write. If the embedder fails, `add_vectors` reports it.
    """
    embedder = configured_embedder()
    waiting = [item for item in items if awaits_vector(item)]
    texts = list(dict.fromkeys(item.text_content for item in waiting))
    if embedder is None or not texts or set(texts) <= _embedded(embedder, waiting).keys():
        return
    try:
        vectors = embed(embedder, texts)
    except EmbedderError:
        return
    places = {text: place for place, text in enumerate(texts)}
    for item in waiting:
        vars(item)[OWN_VECTOR] = (model_name(embedder), item.text_content, vectors[places[item.text_content]])


def _embedded(embedder: Embedder, items: Sequence[MemoryItem]) -> dict[str | None, Any]:
    """The vectors that `embed_texts` computed, by text."""
    model = model_name(embedder)
    own = (vars(item).get(OWN_VECTOR) for item in items)
    return {text: vector for name, text, vector in filter(None, own) if name == model}


def add_vectors(
    items: Sequence[MemoryItem], using: str, newest: Newest = nothing_cached, *, final: bool = True
) -> None:
    """Compute the vectors of items that need one, just before they are written. `newest` may know the turns before.

    If the embedder fails, the items are stored without vectors and stay pending; logged if this is the `final` attempt.
    """
    embedder = configured_embedder()
    waiting = [item for item in items if awaits_vector(item)]
    if embedder is None or not waiting:
        return
    before = dict(zip((item.pk for item in items), of_new_items(items, using, newest), strict=True))
    try:
        made = _in_context(embedder, waiting, [before[item.pk] for item in waiting])
    except EmbedderError:
        if final:
            logger.exception("Texts are stored without vectors; manage.py memory_embed will add them.")
        return
    for item, vector in zip(waiting, made, strict=True):
        item.text_embedding = vector
        item.embedding_model = model_name(embedder)


def vectors_of(embedder: Embedder, items: Sequence[MemoryItem], using: str) -> list[list[float] | None]:
    """The vectors of stored items, in context; None for a text that has no meaning for the model."""
    return _in_context(embedder, items, of_stored_items(items, using))


def _in_context(embedder: Embedder, items: Sequence[MemoryItem], before: Sequence[Texts]) -> list[list[float] | None]:
    texts = [[item.text_content, *some] for item, some in zip(items, before, strict=True)]
    places = dict.fromkeys(text for some in texts for text in some)
    known = _embedded(embedder, items)
    unknown = [text for text in places if text not in known]
    if unknown:
        known |= zip(unknown, embed(embedder, unknown), strict=True)
    made = [in_context(np.stack([known[text] for text in some])) for some in texts]
    return [vector.tolist() if vector.any() else None for vector in made]


def before_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """Receiver of `pre_save`: `loaddata` bypasses the models' `save()`, and fixtures have no fields of search."""
    if raw:
        instance.written = WriteTime()
        prepare([instance])
        add_vectors([instance], using)


def pending(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """The items that were written without the vector of a remote embedder."""
    embedder = configured_embedder()
    if embedder is None or not is_remote(embedder):
        return []
    return [item for item in items if not vars(item).get("embedding_model", "-")]
