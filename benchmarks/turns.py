"""A chat turn, and a create with Redis and the default embedder, against google-cloud-firestore.

    python -m benchmarks.turns [--rounds 7] [--json FILE]

As `benchmarks.verbs`, with a Redis of its own. A turn stores the user's message and the agent's, and reads the last 20:
`ConcreteMemoryManager` against two `create()` and a query of the client library. There is no embedder in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from memory.testing import emulator
from memory.testing.redis import RedisServer

from .engine import Contest, measure, report

TURNS, ITEMS, LAST, KNOWN = 30, 60, 20, 200
USER = "ada"
TEXT = "We met at the station and talked about the trip to the mountains in May. "


def configure(address: str, project: str, redis_url: str) -> None:
    """Configure Django with the app on the emulator and Redis."""
    settings.configure(
        INSTALLED_APPS=["memory"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "memory.backends.firestore",
                "PROJECT": project,
                "HOST": address,
                "OPTIONS": {"timeout": 60},
            }
        },
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}},
    )
    django.setup()


def unsaved(session: str, number: int) -> Any:
    """An item."""
    from memory.models import MemoryItem

    return MemoryItem(
        user_id=USER, session_id=session, item_type="message", text_content=f"{TEXT}{number}", metadata={"n": number}
    )


def contests(client: Any) -> Iterator[Contest]:
    """The contests."""
    from django.utils import timezone
    from google.cloud.firestore_v1.base_query import FieldFilter

    from memory.models import MemoryItem
    from memory.stores import ConcreteMemoryManager

    cpu, clock = time.process_time, time.perf_counter
    settings.MEMORY = {"EMBEDDER": None}
    MemoryItem.objects.bulk_create(unsaved("turns", number) for number in range(KNOWN))
    stored: dict[str, Any] = next(client.collection("memory_items").limit(1).stream()).to_dict()
    collection = client.collection("sdk_items")

    def by_sdk(number: int) -> None:
        made = {**stored, "id": uuid.uuid4().hex, "text_content": f"{TEXT}{number}", "timestamp": timezone.now()}
        collection.document(made["id"]).create(made)

    for number in range(KNOWN):
        by_sdk(number)
    manager = ConcreteMemoryManager()
    manager.initialize()
    loop = asyncio.new_event_loop()

    async def chat() -> None:
        for number in range(TURNS):
            await manager.add_memory_item(unsaved("turns", number))
            await manager.add_memory_item(unsaved("turns", number))
            assert len(await manager.get_conversation_history(USER, "turns", LAST)) == LAST

    def chat_by_sdk() -> None:
        of_session = collection.where(filter=FieldFilter("user_id", "==", USER))
        of_session = of_session.where(filter=FieldFilter("session_id", "==", "turns"))
        for number in range(TURNS):
            by_sdk(number)
            by_sdk(number)
            last = of_session.order_by("timestamp", direction="DESCENDING").limit(LAST)
            assert len([one.to_dict() for one in last.stream()]) == LAST

    def with_embedder() -> None:
        settings.MEMORY = {}
        for number in range(ITEMS):
            unsaved("turns", number).save()
        settings.MEMORY = {"EMBEDDER": None}

    for bar, measured in ((0.7, clock), (1.0, cpu)):
        turn = lambda: loop.run_until_complete(chat())  # noqa: E731
        yield Contest(f"a chat turn through the manager, {TURNS} times", turn, chat_by_sdk, bar, measured)
    yield Contest(
        f"create(), Redis and embedder, {ITEMS} times",
        with_embedder,
        lambda: [by_sdk(number) for number in range(ITEMS)],
        2.0,
        clock,
    )
    manager.close()
    loop.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A chat turn against google-cloud-firestore.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    given = parser.parse_args()
    project = f"bench-{uuid.uuid4().hex[:8]}"
    address = emulator.emulator(project)
    with RedisServer() as server:
        configure(address, project, server.url)
        os.environ["FIRESTORE_EMULATOR_HOST"] = address  # the SDK finds the emulator only by this
        warnings.filterwarnings("ignore", module="google")
        from google.cloud import firestore

        client = firestore.Client(project=project)
        results = [measure(contest, given.rounds) for contest in contests(client)]
    sys.stdout.write(report(results, None, ("app", "SDK")) + "\n")
    if given.json:
        Path(given.json).write_text(json.dumps([asdict(one) for one in results], indent=2), encoding="utf-8")
    return 0 if all(one.met for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
