"""What is stored of a text so that it can be found: its terms, its vector in context, and which versions made them.

An item whose `embedding_model` is not the configured embedder's has no vector that a search could use: it is pending.
Where the embedder is remote that is so after every write, until `index` or `manage.py memory_embed` completes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from memory.conf import configured_embedder, memory_settings
from memory.embedding import is_remote, model_name
from memory.fields import content_hash
from memory.models import MemoryItem
from memory.text_index import Newest

from .context import in_context
from .earlier import Texts, each, nobody_knows, together
from .embedders import Embedder, EmbedderError
from .texts import distinct_terms, embed, readable, terms_version

logger = logging.getLogger(__name__)


def prepare(items: Sequence[MemoryItem]) -> None:
    """Give the items what follows from their texts alone, before they are written; those that have it are left alone.

    One whose text is new has no vector after it, unless it says nothing, so that no model has anything to add.
    """
    version, model = terms_version(memory_settings.language), configured_model()
    for item in items:
        known = vars(item)  # what was not loaded is not asked for: it is as it was written
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
    """Its name as it is stored; None without one, or without one that can be made."""
    embedder = configured_embedder()
    return None if embedder is None else model_name(embedder)


def awaits_vector(item: MemoryItem) -> bool:
    """Whether the item is to be written with a vector that it does not have yet."""
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


def add_vectors(items: Sequence[MemoryItem], using: str, newest: Newest = nobody_knows) -> None:
    """Give those that await it their vector, just before they are written; `newest` may know what was said before.

    An embedder that fails leaves its items pending: what was said is kept, whether it can be found by meaning or not.
    """
    embedder = configured_embedder()
    waiting = [item for item in items if awaits_vector(item)]
    if embedder is None or not waiting:
        return
    before = dict(zip((item.pk for item in items), together(items, using, newest), strict=True))
    try:
        made = _in_context(embedder, waiting, [before[item.pk] for item in waiting])
    except EmbedderError:
        logger.exception("Texts are stored without vectors; manage.py memory_embed will add them.")
        return
    for item, vector in zip(waiting, made, strict=True):
        item.text_embedding = vector
        item.embedding_model = model_name(embedder)


def vectors_of(embedder: Embedder, items: Sequence[MemoryItem], using: str) -> list[list[float] | None]:
    """The vectors of stored items as they are stored; None for a text that says nothing to the model."""
    return _in_context(embedder, items, each(items, using))


def _in_context(embedder: Embedder, items: Sequence[MemoryItem], before: Sequence[Texts]) -> list[list[float] | None]:
    texts = [[item.text_content, *some] for item, some in zip(items, before, strict=True)]
    places = {text: place for place, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
    vectors = embed(embedder, list(places))
    made = [in_context(vectors[[places[text] for text in some]]) for some in texts]
    return [vector.tolist() if vector.any() else None for vector in made]


def before_raw_save(instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """Receiver of `pre_save`: `loaddata` saves past the models' own `save`, and its files have nothing of search."""
    if raw:
        prepare([instance])
        add_vectors([instance], using)


def pending(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """Those that were written without the vector that a remote embedder is to make."""
    embedder = configured_embedder()
    if embedder is None or not is_remote(embedder):
        return []
    return [item for item in items if not vars(item).get("embedding_model", "-")]
