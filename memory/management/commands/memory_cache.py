"""`manage.py memory_cache`: statistics, verification and clearing of the conversation cache."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from memory import history
from memory.cache import ConversationCache, Unavailable
from memory.conf import memory_settings
from memory.lifecycle.commands import AuditedCommand


class Command(AuditedCommand):
    """`manage.py memory_cache --stats | --verify [--sample N] | --clear`."""

    help = (
        "Show statistics of the conversation cache, compare it with the database and drop differing entries, or clear "
        "it. --verify exits with 1 if entries differed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--stats", action="store_true", help="Show the number of cached conversations and items.")
        what.add_argument(
            "--clear", action="store_true", help="Delete all cached conversations. They are cached again when read."
        )
        what.add_argument(
            "--verify", action="store_true", help="Compare with the database and drop conversations that differ."
        )
        parser.add_argument(
            "--sample", type=int, metavar="N", help="With --verify: compare N conversations instead of all."
        )
        parser.add_argument("--database", default=None, help="Database alias. Default: MEMORY['DATABASE'].")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the requested action."""
        using = options["database"] or memory_settings.database
        cache = history.cache_of(using)
        if cache is None:
            raise CommandError(
                "The conversation cache is not configured: MEMORY['CACHE'] must name a django-redis cache. See "
                "docs/redis.md; the service reads REDIS_HOST or REDIS_URL."
            )
        try:
            if options["stats"]:
                self._show(cache)
            elif options["clear"]:
                self.stdout.write(f"Removed {cache.clear()} keys.")
            else:
                self._verify(cache, using, options["sample"])
        except Unavailable as error:
            raise CommandError(f"Redis is unavailable: {error}") from error

    def _show(self, cache: ConversationCache) -> None:
        stats = cache.stats()
        for name, value in (
            ("conversations", stats.conversations),
            ("items", stats.items),
            ("bytes", stats.bytes),
            ("sessions", stats.sessions),
            ("active writers", stats.marks),
        ):
            self.stdout.write(f"{name}: {value}")

    def _verify(self, cache: ConversationCache, using: str, sample: int | None) -> None:
        names = list(islice(cache.names(), sample))
        differing = [
            name
            for name in tqdm(names, desc="Verifying", unit=" conversations", file=self.stderr, disable=None)
            if not history.verify(name, using)
        ]
        for name in differing:
            self.stderr.write(
                f"Dropped: user {name.user_id!r}, session {name.session_id!r} differed from the database."
            )
        summary = f"{len(names)} conversations compared, {len(differing)} differed."
        if differing:
            raise CommandError(f"{summary} They were dropped and are cached again when read.")
        self.stdout.write(summary)
