"""The base of the app's commands: each leaves a record in the audit trail, also if it fails."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand

from memory.lifecycle import audit


class AuditedCommand(BaseCommand):
    """A command with a record of its own: its name, who ran it, and whose data it was about."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command, and record it."""
        outcome = "failed"
        try:
            done = super().execute(*args, **options)
            outcome = "done"
        finally:
            name = type(self).__module__.rpartition(".")[2]
            audit.emit(
                audit.Record(
                    audit.COMMAND,
                    audit.action_of("POST", name),
                    name,
                    getpass.getuser(),
                    ids=tuple(ids_in(options.get("user_id"))),
                    outcome=outcome,
                )
            )
        return done


def ids_in(value: object) -> list[str]:
    """The ids in an option that has one, several or none."""
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
