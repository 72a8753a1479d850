"""`manage.py memory_reembed --to PATH`: replace vectors by those of another embedder."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from memory.management.embedding import EmbeddingCommand, load_embedder


class Command(EmbeddingCommand):
    """Computes vectors of an embedder before it is configured."""

    help = (
        "Compute vectors of another embedder before MEMORY['EMBEDDER'] is changed. Until then, the converted items are "
        "found by keywords only. The command can be interrupted and rerun."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of `memory_embed` and the embedder."""
        super().add_arguments(parser)
        parser.add_argument(
            "--to", required=True, metavar="PATH", help="Dotted path of the embedder, as in MEMORY['EMBEDDER']."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Index the pending items, or count them."""
        self.run(load_embedder(options["to"], "--to"), options)
        if not options["check"]:
            self.stdout.write(
                f"Now set MEMORY['EMBEDDER'] to {options['to']!r} in the service, then run memory_embed to index items "
                "written in the meantime."
            )
