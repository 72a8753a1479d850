"""The app's own verbs against google-cloud-firestore: same process, emulator and run, in turns.

    python -m benchmarks.verbs [--rounds 7] [--only WORD] [--json FILE]

As `benchmarks.engine`, with the models of `memory`: a figure is the median over the rounds of the ratio app : SDK.
There is no cache and no embedder. The SDK writes and reads the same documents, with plain dicts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from memory.testing import emulator

from .engine import Contest, measure, report

ITEMS, BULK = 100, 2_000
USER, SESSION = "ada", "monday"
TEXT = "We met at the station and talked about the trip to the mountains in May. "


def configure(address: str, project: str) -> None:
    """Configure Django with the app on the emulator."""
    database = {
        "ENGINE": "memory.backends.firestore",
        "NAME": "(default)",
        "PROJECT": project,
        "HOST": address,
        "OPTIONS": {"timeout": 60},
    }
    settings.configure(
        INSTALLED_APPS=["memory"],
        USE_TZ=True,
        DATABASES={"default": database},
        MEMORY={"CACHE": None, "EMBEDDER": None},
    )
    django.setup()


def contests(client: Any) -> Iterator[Contest]:
    """The contests."""
    from memory.models import MemoryItem

    cpu, clock = time.process_time, time.perf_counter
    collection = client.collection("sdk_items")

    def unsaved(number: int) -> Any:
        return MemoryItem(
            user_id=USER,
            session_id=SESSION,
            item_type="message",
            text_content=f"{TEXT}{number}",
            metadata={"n": number},
        )

    def document(number: int) -> dict[str, Any]:
        return {**stored, "id": f"sdk-{uuid.uuid4().hex}", "text_content": f"{TEXT}{number}", "metadata": {"n": number}}

    first = unsaved(0)
    first.save()
    stored: dict[str, Any] = client.collection("memory_items").document(first.pk).get().to_dict()
    created = [unsaved(number) for number in range(ITEMS)]
    MemoryItem.objects.bulk_create(created)
    ids = [item.pk for item in created]
    items = client.collection("memory_items")

    yield Contest(
        f"objects.get(pk=), {ITEMS} times",
        lambda: [MemoryItem.objects.get(pk=id) for id in ids],
        lambda: [items.document(id).get().to_dict() for id in ids],
        0.8,
        cpu,
        turns=3,
    )

    def create(number: int) -> Any:
        item = unsaved(number)
        item.save()
        return item

    def create_by_sdk(number: int) -> None:
        made = document(number)
        collection.document(made["id"]).create(made)

    yield Contest(
        f"objects.create(), known session, {ITEMS} times",
        lambda: [create(number) for number in range(ITEMS)],
        lambda: [create_by_sdk(number) for number in range(ITEMS)],
        1.9,
        cpu,
        turns=3,
    )

    def by_batches() -> None:
        made = [document(number) for number in range(BULK)]
        for start in range(0, BULK, 500):
            batch = client.batch()
            for one in made[start : start + 500]:
                batch.create(collection.document(one["id"]), one)
            batch.commit()

    def by_bulk_writer() -> None:
        writer = client.bulk_writer()
        for number in range(BULK):
            made = document(number)
            writer.create(collection.document(made["id"]), made)
        writer.close()

    def bulk() -> None:
        MemoryItem.objects.bulk_create([unsaved(number) for number in range(BULK)])

    rivals: tuple[tuple[str, Callable[[], None], float, Callable[[], float]], ...] = (
        ("batches of 500", by_batches, 1.2, cpu),
        ("BulkWriter", by_bulk_writer, 0.15, clock),
    )
    for name, rival, bar, clock_of in rivals:
        yield Contest(f"bulk_create({BULK:,}) / {name}", bulk, rival, bar, clock_of)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The app's verbs against google-cloud-firestore.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", metavar="WORD", help="only the contests whose name has it, as get(")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    given = parser.parse_args()
    project = f"bench-{uuid.uuid4().hex[:8]}"
    address = emulator.emulator(project)
    configure(address, project)
    os.environ["FIRESTORE_EMULATOR_HOST"] = address  # the SDK finds the emulator only by this
    warnings.filterwarnings("ignore", module="google")
    from google.cloud import firestore

    chosen = (contest for contest in contests(firestore.Client(project=project)) if given.only in contest.name)
    results = [measure(contest, given.rounds) for contest in chosen]
    sys.stdout.write(report(results, None, ("app", "SDK")) + "\n")
    if given.json:
        Path(given.json).write_text(json.dumps([asdict(one) for one in results], indent=2), encoding="utf-8")
    return 0 if all(one.met for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
