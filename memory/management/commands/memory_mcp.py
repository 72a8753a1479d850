"""`manage.py memory_mcp USERNAME`: the MCP server on standard input and output."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from memory.conf import memory_settings
from memory.lifecycle.commands import AuditedCommand
from memory.mcp.calls import FORGET, READ, WRITE, Caller
from memory.mcp.stdio import serve


class Command(AuditedCommand):
    """For clients that start a server themselves. Nothing but messages is written to standard output."""

    help = "Serve a user's memory to a client of the Model Context Protocol, on standard input and output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("username", help="The user whose memory is served.")
        scopes = [READ, WRITE, FORGET]
        parser.add_argument("--scope", action="append", choices=scopes, help="Repeatable; by default all.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until standard input ends."""
        users = get_user_model()
        try:
            user = users._default_manager.get(**{users.USERNAME_FIELD: options["username"]})
        except users.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}.") from error
        if not user.is_active:
            raise CommandError(f"The user {options['username']!r} is inactive.")
        scopes = frozenset(options["scope"] or [READ, WRITE, FORGET])
        serve(sys.stdin.buffer, sys.stdout.buffer, Caller(memory_settings.principal(user), scopes))
