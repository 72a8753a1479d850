"""What `memory_embed` and `memory_reembed` share: items that wait are completed by batches, with a progress bar."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from tqdm import tqdm

from memory.conf import make_embedder, memory_settings
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.search import pending
from memory.search.embedders import Embedder, EmbedderError, NoEmbedderError

MOST_AT_ONCE = 500
PASSES = 3


class EmbeddingCommand(BaseCommand):
    """Completes items; what is done stays done, and the next run goes on with the rest."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose items, and how many at a time."""
        parser.add_argument("--user", metavar="ID", help="Only the items of this user.")
        parser.add_argument(
            "--batch-size", type=batch_size, default=100, metavar="N", help=f"Items at a time, at most {MOST_AT_ONCE}."
        )
        parser.add_argument("--check", action="store_true", help="Only count them; exits with 1 where there are some.")
        parser.add_argument("--database", default=None, help="Alias of the database; MEMORY['DATABASE'] unless given.")

    def run(self, embedder: Embedder | None, options: dict[str, Any]) -> None:
        """Do, or count, what there is to do for this embedder."""
        using = options["database"] or memory_settings.database
        if using not in connections.databases:
            raise CommandError(f"--database {using}: there is no such alias in DATABASES.")
        items = MemoryItem.all_objects.using(using)
        if options["user"] is not None:
            items = items.for_user(options["user"])
        try:
            if options["check"]:
                self._tell(sum(some.count() for some in pending.waiting(items, embedder)))
            else:
                self._complete(items, embedder, options["batch_size"], using)
        except (EmbedderError, DatabaseError) as error:
            told = str(error).rstrip(". ")
            raise CommandError(f"{told}. What was written stays written; the next run goes on from there.") from error

    def _tell(self, number: int) -> None:
        if number:
            raise CommandError(f"{number} items wait: run this command without --check.")
        self.stdout.write("No item waits.")

    def _complete(self, items: MemoryItemQuerySet, embedder: Embedder | None, size: int, using: str) -> None:
        written = 0
        for _ in range(PASSES):  # what is written meanwhile waits anew
            causes = pending.waiting(items, embedder)
            number = sum(some.count() for some in causes)
            with tqdm(total=number, desc="Embedding", unit=" items", file=self.stderr, disable=None) as progress:
                for some in causes:
                    for batch in pending.batches(some, size):
                        written += pending.complete(batch, embedder, using)
                        progress.update(len(batch))
            if not number:
                break
        self.stdout.write(f"{written} items completed.")


def batch_size(text: str) -> int:
    """A number of items."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_AT_ONCE:
        raise ArgumentTypeError(f"must be a whole number from 1 to {MOST_AT_ONCE}")
    return int(text)


def made_embedder(path: str, option: str) -> Embedder:
    """What the dotted path of a class, or of a function without arguments, makes. Raises `CommandError`."""
    try:
        return make_embedder(path)
    except NoEmbedderError as error:
        raise CommandError(f"{option}: {error}") from error
    except EmbedderError as error:
        raise CommandError(f"{option} {path}: {error}") from error
