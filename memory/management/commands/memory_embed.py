"""`manage.py memory_embed`: compute missing terms and vectors of items."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from memory.conf import memory_settings
from memory.management.embedding import EmbeddingCommand
from memory.search.embedders import EmbedderError


class Command(EmbeddingCommand):
    """Uses `MEMORY["EMBEDDER"]` and `MEMORY["LANGUAGE"]`."""

    help = (
        "Compute the terms and vectors of items that were indexed with another embedder, language or release, or whose "
        "remote embedding is pending. Concurrent changes of items are kept. The command can be interrupted and rerun."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Index the pending items, or count them."""
        try:
            embedder = memory_settings.embedder
        except EmbedderError as error:
            raise CommandError(f"MEMORY['EMBEDDER']: {error}") from error
        self.run(embedder, options)
