"""`manage.py memory_purge [--checkpoints DAYS] [--dry-run]`: delete what has expired, what policies of retention cover,
and the checkpoints of idle threads.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from tqdm import tqdm

from memory.lifecycle import audit, erasure, forgetting
from memory.lifecycle.commands import AuditedCommand
from memory.limits import days
from memory.models import AgentCheckpoint, AgentData, IdempotencyKey, MemoryItem, Record

MODELS: tuple[type[Record], ...] = (MemoryItem, AgentData)


class Command(AuditedCommand):
    """Frees the storage of records that no read returns, and applies the policies of retention."""

    help = "Delete expired records, records that MEMORY['RETENTION'] covers, and tombstones that have ended."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--dry-run", action="store_true", help="Count the records without deleting them.")
        parser.add_argument(
            "--checkpoints",
            type=days,
            metavar="DAYS",
            help="Also delete all checkpoints of threads whose latest one is older.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and print the number of records by model and by policy."""
        is_dry, verb = options["dry_run"], "would be deleted" if options["dry_run"] else "deleted"
        for model in MODELS:
            records = model.all_objects  # type: ignore[attr-defined]
            number = records.expired().count() if is_dry else records.purge()
            self.stdout.write(f"{model.__name__}: {number:,} {verb}")
        for deletion in forgetting.deletions():
            with tqdm(unit=" records", disable=options["verbosity"] == 0 or not sys.stderr.isatty()) as bar:
                number = forgetting.count(deletion) if is_dry else forgetting.forget(deletion, bar.update)
            self.stdout.write(f"{deletion.policy}: {number:,} {verb}")
        if not is_dry:
            self.stdout.write(f"IdempotencyKey: {IdempotencyKey.purge():,} deleted")
        if old := audit.purge(dry_run=is_dry):
            self.stdout.write(f"AuditEntry: {old:,} {verb}")
        if ended := erasure.purge_ended(dry_run=is_dry):
            self.stdout.write(f"Erasure: {ended:,} {verb}")
        if options["checkpoints"] is not None:
            self._purge_threads(timezone.now() - timedelta(days=options["checkpoints"]), options["dry_run"])

    def _purge_threads(self, before: datetime, dry_run: bool) -> None:
        if dry_run:
            count = sum(1 for _ in AgentCheckpoint.idle_threads(before))
            self.stdout.write(f"Threads: the checkpoints of {count:,} would be deleted")
        else:
            self.stdout.write(f"Threads: the checkpoints of {AgentCheckpoint.purge(before):,} deleted")
