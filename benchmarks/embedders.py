"""What embedders cost, in milliseconds of CPU time: `python -m benchmarks.embedders`.

On a new SQLite file, with real turns, each embedder in turn and three times. Prints a JSON line for each: `bulk`, an
item of a bulk of 800; `create`, a single one; `first`, a search of 800 before there is an index; `pack`, indexing an
item; `search`, one of an indexed memory, without the first.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "tests" / "search" / "data" / "tuning.json"
EMBEDDERS = ("static.StaticEmbedder", "default.default_embedder")
TIMES, ITEMS, SINGLE = 3, 800, 100
QUESTIONS = ("What did she paint?", "Who adopted the dog?", "When was the train late?", "What is her favourite food?")


def seconds(work: Callable[[], Any]) -> float:
    """The CPU time of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measured(user: str, texts: list[str]) -> dict[str, float]:
    """Of one embedder, which is configured."""
    from memory.models import MemoryItem
    from memory.search.packing import pack

    def item(place: int, owner: str = user) -> MemoryItem:
        return MemoryItem(user_id=owner, session_id=f"s{place // 20}", item_type="message", text_content=texts[place])

    def search(question: str) -> list[MemoryItem]:
        return list(MemoryItem.objects.search(question, user_id=user))

    items = [item(place) for place in range(ITEMS)]
    found = {
        "bulk": seconds(lambda: MemoryItem.objects.bulk_create(items)) / ITEMS,
        "create": seconds(lambda: [item(place, f"{user} single").save() for place in range(SINGLE)]) / SINGLE,
        "first": seconds(lambda: search("Where is the harbour?")),
        "pack": seconds(lambda: pack(user, "memory")) / ITEMS,
    }
    search("Where is the harbour?")
    questions = [f"{question} {number}" for number in range(5) for question in QUESTIONS]
    found["search"] = seconds(lambda: [search(question) for question in questions]) / len(questions)
    return {name: round(1_000 * value, 3) for name, value in found.items()}


def main() -> None:
    """Print JSON lines."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{folder}/memory.sqlite3",
        )
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.test import override_settings

        for alias in ("default", "memory"):
            call_command("migrate", database=alias, verbosity=0)
        turns = [turn for one in json.loads(DATA.read_text("utf-8"))["conversations"] for turn in one["turns"]]
        for number in range(TIMES + 1):  # the first one loads the models
            texts = [f"{turn['text']} ({number})" for turn in turns[:ITEMS]]
            for name in EMBEDDERS:
                memory = {**settings.MEMORY, "EMBEDDER": f"memory.search.embedders.{name}", "INDEX_AFTER": None}
                with override_settings(MEMORY=memory):
                    found = measured(f"{name} {number}", texts)
                if number:
                    sys.stdout.write(json.dumps({"embedder": name, **found}) + "\n")


if __name__ == "__main__":
    main()
