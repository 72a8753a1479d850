"""The base of `memory_embed` and `memory_reembed`: indexes pending items in batches."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from tqdm import tqdm

from memory.conf import make_embedder, memory_settings
from memory.lifecycle.commands import AuditedCommand
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.search import pending
from memory.search.embedders import Embedder, EmbedderError, NoEmbedderError

MAX_BATCH_SIZE = 500
PASSES = 3


class EmbeddingCommand(AuditedCommand):
    """Indexes pending items. Finished batches are kept if the command is interrupted."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--user", metavar="ID", help="Index only items of this user.")
        parser.add_argument(
            "--batch-size",
            type=batch_size,
            default=100,
            metavar="N",
            help=f"Items per batch, at most {MAX_BATCH_SIZE}.",
        )
        parser.add_argument(
            "--check", action="store_true", help="Only count pending items; exit with 1 if there are any."
        )
        parser.add_argument("--database", default=None, help="Database alias. Default: MEMORY['DATABASE'].")

    def run(self, embedder: Embedder | None, options: dict[str, Any]) -> None:
        """Index the pending items for this embedder, or count them."""
        using = options["database"] or memory_settings.database
        if using not in connections.databases:
            raise CommandError(f"--database {using}: unknown alias, not in DATABASES.")
        items = MemoryItem.all_objects.using(using)
        if options["user"] is not None:
            items = items.for_user(options["user"])
        try:
            if options["check"]:
                self._report(sum(queryset.count() for queryset in pending.waiting(items, embedder)))
            else:
                self._complete(items, embedder, options["batch_size"], using)
        except (EmbedderError, DatabaseError) as error:
            reason = str(error).rstrip(". ")
            raise CommandError(f"{reason}. Indexed items are kept; run the command again to continue.") from error

    def _report(self, number: int) -> None:
        if number:
            raise CommandError(f"{number} items are pending. Run this command without --check.")
        self.stdout.write("No items are pending.")

    def _complete(self, items: MemoryItemQuerySet, embedder: Embedder | None, size: int, using: str) -> None:
        written = 0
        for _ in range(PASSES):  # concurrent writes may be pending again
            querysets = pending.waiting(items, embedder)
            number = sum(queryset.count() for queryset in querysets)
            with tqdm(total=number, desc="Embedding", unit=" items", file=self.stderr, disable=None) as progress:
                for queryset in querysets:
                    for batch in pending.batches(queryset, size):
                        written += pending.complete(batch, embedder, using)
                        progress.update(len(batch))
            if not number:
                break
        self.stdout.write(f"{written} items indexed.")


def batch_size(text: str) -> int:
    """Parse `--batch-size`."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_BATCH_SIZE:
        raise ArgumentTypeError(f"must be a whole number from 1 to {MAX_BATCH_SIZE}")
    return int(text)


def load_embedder(path: str, option: str) -> Embedder:
    """The embedder of a dotted path. Raises `CommandError`."""
    try:
        return make_embedder(path)
    except NoEmbedderError as error:
        raise CommandError(f"{option}: {error}") from error
    except EmbedderError as error:
        raise CommandError(f"{option} {path}: {error}") from error
