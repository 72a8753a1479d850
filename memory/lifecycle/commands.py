"""The base of the app's commands: each leaves a record in the audit trail, also if it fails."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from memory.lifecycle import audit
from memory.limits import text_problem

READS_ONLY: Final = ("dry_run", "verify", "check", "stats")
"""Options with which a command changes nothing."""
NAMING: Final = ("user_id", "user", "username", "owner")
"""Options that say whose data a command is about."""


class AuditedCommand(BaseCommand):
    """A command with a record of its own: its name, who ran it, and whose data it was about."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command, and record it."""
        name = type(self).__module__.rpartition(".")[2]
        action = audit.action_of("GET" if any(options.get(one) for one in READS_ONLY) else "POST", name)
        ids = tuple(one for option in NAMING for one in ids_in(options.get(option)))
        with audit.recorded(audit.Record(audit.COMMAND, action, name, getpass.getuser(), ids=ids)):
            check_encoding(options)
            return super().execute(*args, **options)


def check_encoding(options: Mapping[str, Any]) -> None:
    """Raise `CommandError` for a text that no database stores and no terminal shows.

    Python decodes bytes of the command line that are not UTF-8 to lone surrogates (PEP 383).
    """
    for name, value in options.items():
        several = value if isinstance(value, list | tuple) else [value]
        if any(text_problem(str(one)) for one in several if isinstance(one, str | PurePath)):
            raise CommandError(f"The argument {name!r} must be valid UTF-8.")


def ids_in(value: object) -> list[str]:
    """The ids in an option that has one, several or none."""
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
