"""`manage.py memory_purge [--dry-run]`: delete expired records and idempotency keys."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from memory.models import AgentData, IdempotencyKey, MemoryItem, Record

MODELS: tuple[type[Record], ...] = (MemoryItem, AgentData)


class Command(BaseCommand):
    """Frees the storage of expired records, which no read returns."""

    help = "Delete expired records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--dry-run", action="store_true", help="Count the records without deleting them.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and print the number of records by model."""
        for model in MODELS:
            records = model.all_objects  # type: ignore[attr-defined]
            if options["dry_run"]:
                self.stdout.write(f"{model.__name__}: {records.expired().count():,} would be deleted")
            else:
                self.stdout.write(f"{model.__name__}: {records.purge():,} deleted")
        if not options["dry_run"]:
            self.stdout.write(f"IdempotencyKey: {IdempotencyKey.purge():,} deleted")
