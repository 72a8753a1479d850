"""`manage.py memory_purge [--dry-run]`: expired records are deleted."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from memory.models import AgentData, MemoryItem, Record

MODELS: tuple[type[Record], ...] = (MemoryItem, AgentData)
ROWS_AT_ONCE = 500


class Command(BaseCommand):
    """No read returns expired records anyway; this frees their place."""

    help = "Delete the records that have expired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to delete."""
        parser.add_argument("--dry-run", action="store_true", help="Count them, delete none.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and tell how many of each model."""
        for model in MODELS:
            if options["dry_run"]:
                count = model.all_objects.expired().count()  # type: ignore[attr-defined]
                self.stdout.write(f"{model.__name__}: {count:,} would be deleted")
            else:
                self.stdout.write(f"{model.__name__}: {purge(model):,} deleted")


def purge(model: type[Record]) -> int:
    """Delete the model's expired records, some at a time; how many there were."""
    records = model.all_objects  # type: ignore[attr-defined]
    total = 0
    while keys := list(records.expired().order_by("expiration").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        # Looked at again: one may have got more time meanwhile.
        total += records.filter(pk__in=keys).expired().delete()[1].get(model._meta.label, 0)
    return total
