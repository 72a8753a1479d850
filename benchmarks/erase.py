"""Erasing a person's items beside the SDK's `recursive_delete` of the same documents, in one run on the emulator.

    python -m benchmarks.erase [--items 10000] [--rounds 3]

Each round stores the documents twice, for two people, and erases one by the app and the other's by the SDK, in turns.
The SDK's documents are in a collection of their own, since it deletes whole collections. Printed are seconds of wall
and of CPU of this process, and deletions.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
import warnings
from typing import Any

from django.conf import settings

from memory.testing import emulator

from .verbs import configure

TABLES = ("memory_items", "user_sessions")
Figures = tuple[float, float, int]


def main() -> None:
    """Run the rounds and print their ratios."""
    parser = argparse.ArgumentParser(description="Erasing a person against the SDK's recursive_delete.")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    project = f"bench-{uuid.uuid4().hex[:8]}"
    address = emulator.emulator(project)
    configure(address, project)
    settings.SECRET_KEY = uuid.uuid4().hex  # tombstones have digests made with it
    os.environ["FIRESTORE_EMULATOR_HOST"] = address  # the SDK finds the emulator only by this
    warnings.filterwarnings("ignore", module="google")
    from google.cloud import firestore

    client = firestore.Client(project=project)
    for number in range(given.rounds):
        order = ("app", "SDK") if number % 2 == 0 else ("SDK", "app")
        found = {side: measure(side, client, f"{side}-{number}", given.items) for side in order}
        sys.stdout.write(f"round {number + 1}: {line(found['app'], found['SDK'])}\n")


def line(app: Figures, sdk: Figures) -> str:
    """The figures of a round in words."""
    sides = [
        f"{name} {wall:.2f} s wall, {cpu:.2f} s CPU, {deleted:,} deletions"
        for name, (wall, cpu, deleted) in (("app", app), ("SDK", sdk))
    ]
    return f"{'; '.join(sides)}; app / SDK {app[0] / sdk[0]:.2f} wall, {app[1] / sdk[1]:.2f} CPU"


def measure(side: str, client: Any, user_id: str, items: int) -> Figures:
    """Store the documents and erase them by one side."""
    store(user_id, items)
    return by_app(user_id, items) if side == "app" else by_sdk(client, user_id)


def by_app(user_id: str, items: int) -> Figures:
    """Wall and CPU seconds of an erasure by the app, without its waiting, and its deletions."""
    from memory.lifecycle import erasure

    erasure.settle_seconds = lambda using: 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    done = erasure.erase(user_id)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if done.counts["memory_items"] != items:
        raise AssertionError(done.counts)
    return wall, cpu, done.total


def by_sdk(client: Any, user_id: str) -> Figures:
    """The same by `recursive_delete`, of the same documents in collections of their own."""
    total = sum(move(client, table, user_id) for table in TABLES)
    wall, cpu = time.perf_counter(), time.process_time()
    deleted = sum(client.recursive_delete(client.collection(f"sdk_{table}")) for table in TABLES)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if deleted != total:
        raise AssertionError(deleted)
    return wall, cpu, deleted


def store(user_id: str, items: int) -> None:
    """Store a person's items, 20 a session."""
    from memory.models import MemoryItem

    MemoryItem.objects.bulk_create(
        MemoryItem(user_id=user_id, session_id=f"s{number // 20}", item_type="message", text_content=f"text {number}")
        for number in range(items)
    )


def move(client: Any, table: str, user_id: str) -> int:
    """Move a person's documents to a collection for the SDK. Returns how many."""
    found = list(client.collection(table).where("user_id", "==", user_id).stream())
    for start in range(0, len(found), 200):
        batch = client.batch()
        for document in found[start : start + 200]:
            batch.set(client.collection(f"sdk_{table}").document(document.id), document.to_dict())
            batch.delete(document.reference)
        batch.commit()
    return len(found)


if __name__ == "__main__":
    main()
