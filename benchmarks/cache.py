"""What the conversation cache saves, and what it costs: `python -m benchmarks.cache`.

Measures, in one run and on the same database, histories read and items written with the cache and without. The Redis
is its own; the database is what `MEMORY_DATABASE_URL` names, or Firestore where `FIRESTORE_EMULATOR_HOST` is set, or
else a file of SQLite.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from memory.testing.redis import RedisServer


def milliseconds(action: Callable[[], object], rounds: int) -> list[float]:
    """How long each of the rounds took, sorted."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)


def measure(rounds: int) -> dict[str, float]:
    """Medians and ratios; `with`: through the cache."""
    from django.conf import settings
    from django.test import override_settings

    from memory import history
    from memory.models import MemoryItem

    off = {**settings.MEMORY, "CACHE": None}

    def write(session: str) -> None:
        MemoryItem(user_id="bench", session_id=session, item_type="message", text_content="x" * 500).save()

    for _ in range(200):
        write("chat")
    read = lambda: history.recent("bench", "chat", 20)  # noqa: E731
    found: dict[str, list[float]] = {}
    # In turns, so that both meet the same machine.
    for _ in range(5):
        read()
        found.setdefault("read with", []).extend(milliseconds(read, rounds))
        found.setdefault("write with", []).extend(milliseconds(lambda: write("chat"), rounds // 2))
        with override_settings(MEMORY=off):
            found.setdefault("read without", []).extend(milliseconds(read, rounds))
            found.setdefault("write without", []).extend(milliseconds(lambda: write("other"), rounds // 2))
    result = {}
    for name, taken in found.items():
        taken.sort()
        result[f"{name}, p50 ms"] = round(statistics.median(taken), 3)
        result[f"{name}, p99 ms"] = round(taken[int(len(taken) * 0.99)], 3)
    result["reads are faster by"] = round(result["read without, p50 ms"] / result["read with, p50 ms"], 2)
    result["writes take more by"] = round(result["write with, p50 ms"] / result["write without, p50 ms"] - 1, 3)
    return result


def main() -> int:
    """Print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="Of each kind in each of five turns.")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        if not os.environ.get("FIRESTORE_EMULATOR_HOST"):
            os.environ.setdefault("MEMORY_DATABASE_URL", f"sqlite:///{Path(folder) / 'memory.sqlite3'}")
        os.environ |= {"DJANGO_SETTINGS_MODULE": "settings", "REDIS_URL": server.url, "APP_ENV": "test"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", database="memory", verbosity=0)
        print(json.dumps(measure(rounds), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
