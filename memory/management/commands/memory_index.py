"""`manage.py memory_index`: complete, check and rebuild the search indexes of users."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from tqdm import tqdm

from memory.conf import memory_settings
from memory.lifecycle.commands import AuditedCommand
from memory.search import verifying
from memory.search.embedders import EmbedderError
from memory.search.packing import Lost, erase, pack
from memory.search.tail import Maker, configured_maker

ATTEMPTS = 3


class Command(AuditedCommand):
    """Indexes users one after the other."""

    help = (
        "Bring the search index of every user up to date: items that are not in it are added, and entries of deleted, "
        "changed and expired items are removed. Searches and writes go on meanwhile. The command can be interrupted "
        "and rerun."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument("--user", action="append", metavar="ID", help="Only this user; may be repeated.")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--check", action="store_true", help="Only compare; exit with 1 if an index differs.")
        kind.add_argument("--rebuild", action="store_true", help="Make every index anew from the items.")
        kind.add_argument(
            "--pending",
            action="store_true",
            help="Only add items that are not in an index; do not look for deleted ones.",
        )
        parser.add_argument("--database", default=None, help="Database alias. Default: MEMORY['DATABASE'].")

    def handle(self, *args: Any, **options: Any) -> None:
        """Index the users, or compare their indexes."""
        using = options["database"] or memory_settings.database
        if using not in connections.databases:
            raise CommandError(f"--database {using}: unknown alias, not in DATABASES.")
        try:
            maker = configured_maker(strict=True)
            users = options["user"] or list(verifying.users(using))
            progress = tqdm(users, "Indexing", unit=" users", file=self.stderr, disable=None)
            if options["check"]:
                self._check(progress, using, maker)
            else:
                self._index(progress, using, maker, options)
        except (EmbedderError, DatabaseError) as error:
            reason = str(error).rstrip(". ")
            raise CommandError(f"{reason}. Finished users are kept; run the command again to continue.") from error

    def _check(self, users: Any, using: str, maker: Maker) -> None:
        states = {user_id: verifying.state_of(user_id, using, maker) for user_id in users}
        tail = memory_settings.index_after or 0  # searches read up to so many items besides the index
        different = {user_id: state for user_id, state in states.items() if not state.is_clean(tail)}
        for user_id, state in different.items():
            self.stderr.write(
                f"{user_id}: {state.indexed} indexed, {state.unindexed} not indexed, {len(state.gone)} to remove"
                f"{', of another version or model' if state.outdated else ''}"
                f"{f', {state.unlisted} segments that are not listed' if state.unlisted else ''}"
            )
        if different:
            raise CommandError(f"{len(different)} of {len(states)} indexes differ. Run this command without --check.")
        self.stdout.write(f"{len(states)} indexes are up to date.")

    def _index(self, users: Any, using: str, maker: Maker, options: dict[str, Any]) -> None:
        added = removed = waiting = 0
        for user_id in users:
            try:
                more, less = self._index_one(user_id, using, maker, options)
            except Lost:
                waiting += 1
                continue
            added, removed = added + more, removed + less
        self.stdout.write(f"{added} items indexed, {removed} entries removed.")
        if waiting:
            raise CommandError(f"{waiting} indexes are being written by other processes. Run the command again.")

    def _index_one(self, user_id: str, using: str, maker: Maker, options: dict[str, Any]) -> tuple[int, int]:
        if options["pending"] or options["rebuild"]:
            packed = pack(user_id, using, rebuild=options["rebuild"])
            return packed.added, packed.left_out
        state = verifying.state_of(user_id, using, maker)
        if state.is_clean():
            return 0, 0
        if not state.indexed and not state.unindexed:
            erase(user_id, using)
            return 0, len(state.gone)
        packed = pack(user_id, using, gone=state.gone, mend=True, rebuild=bool(state.unlisted or state.outdated))
        return packed.added, packed.left_out
