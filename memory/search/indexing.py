"""What is stored of a text so that it can be found: its terms, its vector in context, and which versions made them.

An item whose `embedding_model` is not the configured embedder's has no vector that a search could use: it is pending.
Where the embedder is remote that is so after every write, until `index` or `manage.py memory_embed` completes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from memory.conf import memory_settings
from memory.fields import content_hash

from .context import in_context
from .earlier import Newest, Texts, each, nobody_knows, together
from .embedders import Embedder, EmbedderError, Vectors
from .embedders.base import is_remote, model_name, normalized
from .embedders.checked import document_vectors
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
    vectors = document_vectors(embedder, [piece for some in cut for piece in some])
    if all(len(some) == 1 for some in cut):
        return vectors
    ends = np.cumsum([len(some) for some in cut])
    return normalized(
        np.stack([vectors[end - len(some) : end].mean(axis=0) for some, end in zip(cut, ends, strict=True)])
    )


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


def configured_embedder() -> Embedder | None:
    """`MEMORY["EMBEDDER"]` for writes, which go on without one that cannot be made: what it lacks is logged."""
    try:
        return memory_settings.embedder
    except EmbedderError as error:
        _complain(str(error))
        return None


@cache
def _complain(problem: str) -> None:
    """Once for each problem: every write meets it."""
    logger.error("Texts are stored without vectors: %s Then run manage.py memory_embed.", problem)


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


def room_for_vector(embedder: Embedder) -> dict[str, Any]:
    """Values as large as those that `give_vectors` gives."""
    return {"text_embedding": [0.0] * embedder.dimension, "embedding_model": model_name(embedder)}


def give_vectors(items: Sequence[MemoryItem], using: str, newest: Newest = nobody_knows) -> None:
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
        give_vectors([instance], using)


def pending(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """Those that were written without the vector that a remote embedder is to make."""
    embedder = configured_embedder()
    if embedder is None or not is_remote(embedder):
        return []
    return [item for item in items if not vars(item).get("embedding_model", "-")]


def index(items: Sequence[MemoryItem], using: str) -> None:
    """Called when items that wait for a remote embedder's vectors have been committed. Returns at once."""
    from .later import embed_later  # which builds on what is above

    embed_later([item.pk for item in items], using)
