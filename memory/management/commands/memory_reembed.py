"""`manage.py memory_reembed --to PATH`: vectors of another model take the place of those that are there."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from memory.management.embedding import EmbeddingCommand, made_embedder


class Command(EmbeddingCommand):
    """Moves the memory to a model before it is configured."""

    help = (
        "Give the items vectors of another model, before MEMORY['EMBEDDER'] names it. Searches go on: an item that has "
        "moved is found by its words until then. Can be interrupted, and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """As `memory_embed`, and the model."""
        super().add_arguments(parser)
        parser.add_argument(
            "--to", required=True, metavar="PATH", help="Dotted path of the embedder, as MEMORY['EMBEDDER'] takes it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Complete, or count."""
        self.run(made_embedder(options["to"], "--to"), options)
        if not options["check"]:
            self.stdout.write(
                f"Now set MEMORY['EMBEDDER'] to {options['to']!r} where the service runs, and run memory_embed then: "
                "it completes what was written meanwhile."
            )
