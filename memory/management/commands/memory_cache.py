"""Looks after the conversation cache: what it holds, whether it is right, and emptying it."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from memory import history
from memory.cache import ConversationCache, Unavailable
from memory.conf import memory_settings


class Command(BaseCommand):
    """`manage.py memory_cache --stats | --verify [--sample N] | --clear`."""

    help = (
        "Shows what the conversation cache holds, compares it with the database and drops what differs, or empties it. "
        "Verifying exits with 1 where something differed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command's options."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--stats", action="store_true", help="Count what is held.")
        what.add_argument("--clear", action="store_true", help="Forget all conversations; they fill again when read.")
        what.add_argument("--verify", action="store_true", help="Compare with the database, and mend.")
        parser.add_argument("--sample", type=int, metavar="N", help="With --verify: N conversations instead of all.")
        parser.add_argument("--database", default=None, help="Alias of the database; MEMORY['DATABASE'] unless given.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run what was asked for."""
        using = options["database"] or memory_settings.database
        cache = history.cache_of(using)
        if cache is None:
            raise CommandError(
                "There is no conversation cache: MEMORY['CACHE'] must name a cache of django-redis. In this project, "
                "set REDIS_HOST or REDIS_URL."
            )
        try:
            if options["stats"]:
                self._show(cache)
            elif options["clear"]:
                self.stdout.write(f"Removed {cache.clear()} keys.")
            else:
                self._verify(cache, using, options["sample"])
        except Unavailable as error:
            raise CommandError(f"Redis does not answer ({error}); nothing is known of the cache.") from error

    def _show(self, cache: ConversationCache) -> None:
        stats = cache.stats()
        for name, value in (
            ("conversations", stats.conversations),
            ("items", stats.items),
            ("bytes", stats.bytes),
            ("sessions' rows", stats.sessions),
            ("writers at work", stats.marks),
        ):
            self.stdout.write(f"{name}: {value}")

    def _verify(self, cache: ConversationCache, using: str, sample: int | None) -> None:
        names = list(islice(cache.names(), sample))
        wrong = [
            name
            for name in tqdm(names, desc="Verifying", unit=" conversations", file=self.stderr, disable=None)
            if not history.verify(name, using)
        ]
        for name in wrong:
            self.stderr.write(
                f"Dropped: user {name.user_id!r}, session {name.session_id!r} was not as in the database."
            )
        summary = f"{len(names)} conversations compared, {len(wrong)} differed."
        if wrong:
            raise CommandError(f"{summary} They are dropped, and fill again when they are read.")
        self.stdout.write(summary)
