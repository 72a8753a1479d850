"""The embedder of projects that set none."""

from __future__ import annotations

import logging

from memory.embedding import Embedder, EmbedderError

from .multilingual import MultilingualEmbedder
from .static import StaticEmbedder

logger = logging.getLogger(__name__)


def default_embedder() -> Embedder:
    """The multilingual embedder; without its package, which the extra `search` installs, the English one.

    All processes of a project must have the same: the index of one is searched by words only by the other.
    """
    try:
        return MultilingualEmbedder()
    except EmbedderError as error:
        logger.warning("%s Until then, texts are embedded by a model that knows mostly English.", error)
        return StaticEmbedder()
