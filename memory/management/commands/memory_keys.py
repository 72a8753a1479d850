"""`manage.py memory_keys`: the keys of users that encrypt their texts."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from memory import sealing
from memory.conf import memory_settings
from memory.lifecycle.commands import AuditedCommand
from memory.models import DataKey


class Command(AuditedCommand):
    """Counts keys, or wraps them again."""

    help = (
        "Count the keys of users. With --rotate, wrap all of them again by the current master key: the first of "
        "MEMORY['ENCRYPTION_KEYS'], or that of MEMORY['KEY_WRAPPER']. Texts are not written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to rotate."""
        parser.add_argument("--rotate", action="store_true", help="wrap all keys by the current master key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count or rotate."""
        using = memory_settings.database
        if options["rotate"]:
            self.stdout.write(f"{sealing.rewrap(using)} keys wrapped again")
        else:
            self.stdout.write(f"{DataKey.objects.using(using).count()} keys")
