"""Loads what the first requests of a process would load: modules, the models of the embedder and of languages.

Loading the model takes a second or more, during which Python runs no other thread: not even `live` would be answered.
"""

from __future__ import annotations

import logging
from importlib import import_module

from django.conf import settings
from django.urls import get_resolver

from memory.conf import configured_embedder, memory_settings
from memory.embedding import EmbedderError, is_remote
from memory.search.languages import detected
from memory.search.lexicon import lexicon_of
from memory.search.reranking import RerankerError, make_reranker
from memory.search.texts import embed

logger = logging.getLogger(__name__)


def warm_up() -> None:
    """Load them; an error is logged, since the process can serve without."""
    get_resolver().url_patterns  # noqa: B018  (imports the views)
    warm_client()
    warm_reranker()
    detected("warm")
    embedder = configured_embedder()
    if embedder is None or is_remote(embedder):
        return
    try:
        embed(embedder, ["warm"])
        lexicon_of(embedder)
    except EmbedderError:
        logger.exception("The embedder cannot be used.")


def warm_client() -> None:
    """Import Firestore's client, if it is used: 400 modules, for which the first health check would wait."""
    if any(database["ENGINE"] == "memory.backends.firestore" for database in settings.DATABASES.values()):
        import_module("memory.backends.firestore.rpc.channel")


def warm_reranker() -> None:
    """Load the reranker's model: the first search would wait for it."""
    try:
        if memory_settings.reranker is not None:
            make_reranker(memory_settings.reranker)
    except RerankerError:
        logger.exception("The reranker cannot be used.")
