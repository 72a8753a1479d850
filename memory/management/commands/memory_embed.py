"""`manage.py memory_embed`: compute the missing vectors of items."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from memory.conf import memory_settings
from memory.management.embedding import EmbeddingCommand
from memory.search.embedders import EmbedderError


class Command(EmbeddingCommand):
    """Uses `MEMORY["EMBEDDER"]`."""

    help = (
        "Compute the vectors of items that have one of another embedder, or whose remote embedding is pending. "
        "Concurrent changes of items are kept. The command can be interrupted and rerun."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Index the pending items, or count them."""
        try:
            embedder = memory_settings.embedder
        except EmbedderError as error:
            raise CommandError(f"MEMORY['EMBEDDER']: {error}") from error
        self.run(embedder, options)
