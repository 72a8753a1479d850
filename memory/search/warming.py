"""Loads what the first search of a process would load: the models of the embedder, of languages and of the reranker."""

from __future__ import annotations

import logging
from importlib import import_module

from memory.conf import configured_embedder, memory_settings
from memory.embedding import EmbedderError, is_remote

from .languages import detected
from .lexicon import lexicon_of
from .reranking import RerankerError, make_reranker
from .texts import embed

logger = logging.getLogger(__name__)


def warm_up() -> None:
    """Load the models before the process serves: the first search would take two seconds longer, and the memory.

    Errors of an embedder or a reranker are logged, since the process can serve without.
    """
    for module in (f"{__package__}.index", "numpy.ma"):  # all that a search imports, and what `numpy.unique` does
        import_module(module)
    detected("warm")
    try:
        if memory_settings.reranker is not None:
            make_reranker(memory_settings.reranker)
    except RerankerError:
        logger.exception("The reranker cannot be used.")
    embedder = configured_embedder()
    if embedder is None or is_remote(embedder):
        return
    try:
        embed(embedder, ["warm"])
        lexicon = lexicon_of(embedder)
        if lexicon is not None:
            lexicon.embed(["warm"])
    except EmbedderError:
        logger.exception("The embedder cannot be used.")
