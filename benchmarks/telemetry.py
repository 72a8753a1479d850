"""What OpenTelemetry costs while no SDK is configured: calls of functions, counted.

    python -m benchmarks.telemetry

On SQLite in memory. Of all calls of Python functions during an operation, those of the app's modules of telemetry and
of OpenTelemetry's own are counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

OURS = ("memory/telemetry.py", "memory/backends/telemetry.py")
THEIRS = "/opentelemetry/"


def calls_during(function: Callable[[], Any]) -> Counter[str]:
    """The calls of Python functions: all, those of the app's telemetry, and those of OpenTelemetry."""
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            name = frame.f_code.co_filename
            counts.update(["all", *(["ours"] if name.endswith(OURS) else []), *(["theirs"] if THEIRS in name else [])])

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counts


def operations() -> dict[str, Callable[[], Any]]:
    """The operations that are counted."""
    from memory.history import recent
    from memory.models import MemoryItem

    def item() -> MemoryItem:
        return MemoryItem(user_id="ada", session_id="s", item_type="message", text_content="The ferry was late.")

    stored = MemoryItem.objects.create(user_id="ada", session_id="s", item_type="message", text_content="Hello.")
    return {
        "create an item": lambda: item().save(),
        "change an item": stored.save,
        "create 100 items": lambda: MemoryItem.objects.bulk_create([item() for _ in range(100)]),
        "read a history": lambda: recent("ada", "s", 20),
        "search": lambda: MemoryItem.objects.search("ferry", user_id="ada"),
    }


def main() -> None:
    """Count and print."""
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        MEMORY={"CACHE": None, "INDEX_AFTER": None},
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    for name, function in operations().items():
        function()  # what is loaded and planned once
        found = calls_during(function)
        print(f"{name}: {found['ours']} and {found['theirs']} of {found['all']} calls")


if __name__ == "__main__":
    main()
