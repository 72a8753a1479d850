"""`manage.py memory_embed`: items get the terms and vectors that they wait for."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from memory.conf import memory_settings
from memory.management.embedding import EmbeddingCommand
from memory.search.embedders import EmbedderError


class Command(EmbeddingCommand):
    """Of `MEMORY["EMBEDDER"]` and `MEMORY["LANGUAGE"]`."""

    help = (
        "Complete the items that search does not know as it is configured: those that a remote model did not get to, "
        "and those of another model, another language or an earlier release. Items that are changed meanwhile are "
        "left alone. Can be interrupted, and run again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Complete, or count."""
        try:
            embedder = memory_settings.embedder
        except EmbedderError as error:
            raise CommandError(f"MEMORY['EMBEDDER']: {error}") from error
        self.run(embedder, options)
