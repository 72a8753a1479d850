"""The memory of a process that searches many users in turn: `python -m benchmarks.search_users`.

On a new SQLite file, each user has an indexed memory. After every tenth of the users: the growth of the process (RSS)
since the first search, and the bytes that `MEMORY["SEARCH_CACHE_BYTES"]` bounds. Exits with 1 if the process grows by
more than that bound and `SLACK` of it, after all users have been searched twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

MIB = 1024 * 1024
START = datetime(2025, 1, 1, tzinfo=UTC)
SLACK = 0.25


def resident() -> int:
    """The bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def remember(user: str, count: int, words: list[str], chance: random.Random) -> None:
    """Write and index turns of 5 to 30 words."""
    from memory.models import MemoryItem
    from memory.search.packing import pack

    MemoryItem.objects.bulk_create(
        MemoryItem(
            user_id=user,
            session_id=f"{user} {number // 40}",
            item_type="message",
            timestamp=START + timedelta(minutes=number),
            text_content=" ".join(chance.choices(words, k=chance.randint(5, 30))),
        )
        for number in range(count)
    )
    pack(user, "memory")


def main() -> None:
    """Print JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=200, help="of each user")
    parser.add_argument("--bound", type=int, default=64, help="SEARCH_CACHE_BYTES in MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{folder}/memory.sqlite3",
        )
        os.environ.pop("FIRESTORE_EMULATOR_HOST", None)
        import django
        from django.conf import settings
        from django.core.management import call_command
        from django.test import override_settings

        django.setup()
        call_command("migrate", database="memory", verbosity=0)
        with override_settings(MEMORY={**settings.MEMORY, "SEARCH_CACHE_BYTES": options.bound * MIB}):
            most = measured(options.users, options.items)
    sys.exit(most > options.bound * (1 + SLACK))


def measured(users: int, items: int) -> float:
    """Print how the process grows; return the most MiB by which it has grown."""
    from memory.models import MemoryItem
    from memory.search.segment_cache import cache

    from .search import words_and_questions

    words, questions = words_and_questions()
    chance = random.Random(0)
    for user in range(users):
        remember(f"user {user}", items, words, chance)
    cache.clear()
    MemoryItem.objects.search(questions[0], user_id="user 0")
    cache.clear()
    before, most = resident(), 0.0
    for number in range(2 * users):
        MemoryItem.objects.search(questions[number % len(questions)], user_id=f"user {number % users}")
        grown = (resident() - before) / MIB
        most = max(most, grown)
        if (number + 1) % max(1, users // 10) == 0:
            figures = {"searched": number + 1, "grown_mib": round(grown), "cached_mib": round(cache.nbytes / MIB)}
            print(json.dumps(figures), flush=True)
    print(json.dumps({"most_grown_mib": round(most)}), flush=True)
    return most


if __name__ == "__main__":
    main()
