"""`manage.py memory_purge [--dry-run]`: delete what has expired, and what policies of retention cover."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from memory.lifecycle import erasure, forgetting
from memory.models import AgentData, IdempotencyKey, MemoryItem, Record

MODELS: tuple[type[Record], ...] = (MemoryItem, AgentData)


class Command(BaseCommand):
    """Frees the storage of records that no read returns, and applies the policies of retention."""

    help = "Delete expired records, records that MEMORY['RETENTION'] covers, and tombstones that have ended."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--dry-run", action="store_true", help="Count the records without deleting them.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and print the number of records by model and by policy."""
        is_dry, verb = options["dry_run"], "would be deleted" if options["dry_run"] else "deleted"
        for model in MODELS:
            records = model.all_objects  # type: ignore[attr-defined]
            number = records.expired().count() if is_dry else records.purge()
            self.stdout.write(f"{model.__name__}: {number:,} {verb}")
        for policy in forgetting.policies():
            with tqdm(unit=" records", disable=options["verbosity"] == 0 or not sys.stderr.isatty()) as bar:
                number = forgetting.count(policy) if is_dry else forgetting.forget(policy, bar.update)
            self.stdout.write(f"{policy}: {number:,} {verb}")
        if not is_dry:
            self.stdout.write(f"IdempotencyKey: {IdempotencyKey.purge():,} deleted")
        if ended := erasure.purge_ended(dry_run=is_dry):
            self.stdout.write(f"Erasure: {ended:,} {verb}")
