"""`manage.py memory_purge [--dry-run]`: expired records are deleted."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from memory.models import AgentData, MemoryItem, Record

MODELS: tuple[type[Record], ...] = (MemoryItem, AgentData)


class Command(BaseCommand):
    """No read returns expired records anyway; this frees their place."""

    help = "Delete the records that have expired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to delete."""
        parser.add_argument("--dry-run", action="store_true", help="Count them, delete none.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and tell how many of each model."""
        for model in MODELS:
            records = model.all_objects  # type: ignore[attr-defined]
            if options["dry_run"]:
                self.stdout.write(f"{model.__name__}: {records.expired().count():,} would be deleted")
            else:
                self.stdout.write(f"{model.__name__}: {records.purge():,} deleted")
