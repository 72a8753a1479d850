"""The engine against google-cloud-firestore: same process, emulator and run, in turns.

    python -m benchmarks.engine [--rounds 7] [--only WORD] [--iterate 100000] [--json FILE]

A figure is the median over the rounds of the ratio engine : SDK; below 1 the engine is the cheaper one. CPU is that of
this process (the emulator is another one), time is the clock's. Missed bars are marked, and the exit
status is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.utils import timezone

from memory.testing import emulator

READ, SINGLE, BULK, VECTORS, DIMENSION = 2_000, 200, 5_000, 1_000, 384
READ_BAR, GET_BAR, CREATE_BAR = 0.15, 0.5, 0.6
"""The bars of docs/performance.md for CPU time; `get()` and `create()` miss theirs."""
MEMORY_LIMIT = 150
"""Memory limit in MB while iterating."""


@dataclass(frozen=True)
class Contest:
    """Two implementations of an operation, and the target ratio of their costs.

    `clock` measures one run of each; what is short is run `turns` times as often.
    """

    name: str
    engine: Callable[[], Any]
    sdk: Callable[[], Any]
    bar: float
    clock: Callable[[], float]
    turns: int = 1


@dataclass(frozen=True)
class Result:
    """The result of a contest: medians of each side in seconds, and of their ratio."""

    name: str
    ratio: float
    bar: float
    engine: float
    sdk: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= self.bar


def measure(contest: Contest, rounds: int) -> Result:
    """Measure both sides in turn after a warm-up; the order alternates."""
    contest.engine()
    contest.sdk()
    pairs = []
    for number in range(rounds * contest.turns):
        sides = [contest.engine, contest.sdk]
        seconds = {}
        for side in sides if number % 2 else reversed(sides):
            started = contest.clock()
            side()
            seconds[side] = contest.clock() - started
        pairs.append((seconds[contest.engine], seconds[contest.sdk]))
    return Result(
        name=contest.name,
        ratio=statistics.median(engine / sdk for engine, sdk in pairs),
        bar=contest.bar,
        engine=statistics.median(engine for engine, _ in pairs),
        sdk=statistics.median(sdk for _, sdk in pairs),
        unit="time" if contest.clock is time.perf_counter else "CPU",
    )


def configure(address: str, project: str) -> None:
    """Configure Django with only the engine."""
    settings.configure(
        INSTALLED_APPS=["benchmarks"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "memory.backends.firestore",
                "NAME": "(default)",
                "PROJECT": project,
                "HOST": address,
                "OPTIONS": {"timeout": 60},
            }
        },
    )
    django.setup()


def contests(collection: Any, client: Any) -> Iterator[Contest]:
    """The contests. Reads find 2,000 documents; writes create new ones."""
    from google.cloud import firestore
    from google.cloud.firestore_v1.vector import Vector

    from memory.backends.firestore.transaction import run_in_transaction

    from .models import Item, new_id

    cpu, clock = time.process_time, time.perf_counter
    texts = ["what was said, " * random.randrange(2, 20) for _ in range(50)]

    def values(number: int) -> dict[str, Any]:
        return {
            "id": new_id(),
            "user_id": f"user{number % 10}",
            "session_id": "s",
            "timestamp": timezone.now(),
            "item_type": "message",
            "persona_active": "",
            "text_content": texts[number % 50],
            "metadata": {"role": "user", "n": number},
            "expiration": None,
            "embedding": None,
        }

    Item.objects.bulk_create(Item(**values(number)) for number in range(READ))
    ids = list(Item.objects.values_list("pk", flat=True)[:SINGLE])

    def change(id: str) -> None:
        item = Item.objects.get(pk=id)
        item.metadata["n"] += 1
        item.save(update_fields=["metadata"])

    @firestore.transactional  # type: ignore[untyped-decorator]
    def by_sdk(transaction: Any, document: Any) -> None:
        metadata = document.get(transaction=transaction).get("metadata")
        transaction.update(document, {"metadata": {**metadata, "n": metadata["n"] + 1}})

    yield Contest(
        f"read {READ:,} as instances",
        lambda: list(Item.objects.all()),
        lambda: [snapshot.to_dict() for snapshot in collection.limit(READ).stream()],
        READ_BAR,
        cpu,
    )
    yield Contest(
        f"get() by primary key, {SINGLE} times",
        lambda: [Item.objects.get(pk=id) for id in ids],
        lambda: [collection.document(id).get().to_dict() for id in ids],
        GET_BAR,
        cpu,
        turns=3,
    )
    yield Contest(
        f"create(), {SINGLE} times",
        lambda: [Item.objects.create(**values(number)) for number in range(SINGLE)],
        lambda: [collection.document((made := values(n))["id"]).create(made) for n in range(SINGLE)],
        CREATE_BAR,
        cpu,
        turns=3,
    )

    for clock_of, unit in ((cpu, "CPU"), (clock, "time")):
        yield Contest(
            f"read-modify-write of a row, {SINGLE} times, {unit}",
            lambda: [run_in_transaction(lambda id=id: change(id)) for id in ids],
            lambda: [by_sdk(client.transaction(), collection.document(id)) for id in ids],
            1.1,
            clock_of,
        )

    def by_bulk_writer(made: Sequence[dict[str, Any]]) -> None:
        writer = client.bulk_writer()
        for one in made:
            writer.create(collection.document(one["id"]), one)
        writer.close()

    def many(count: int, **more: Callable[[], Any]) -> list[dict[str, Any]]:
        return [{**values(number), **{name: make() for name, make in more.items()}} for number in range(count)]

    yield Contest(
        f"bulk_create() of {BULK:,}",
        lambda: Item.objects.bulk_create(Item(**one) for one in many(BULK)),
        lambda: by_bulk_writer(many(BULK)),
        0.5,
        clock,
    )

    def vector() -> list[float]:
        return [random.random() for _ in range(DIMENSION)]

    yield Contest(
        f"bulk_create() of {VECTORS:,} with {DIMENSION} dimensions",
        lambda: Item.objects.bulk_create(Item(**one) for one in many(VECTORS, embedding=vector)),
        lambda: by_bulk_writer(many(VECTORS, embedding=lambda: Vector(vector()))),
        0.3,
        clock,
    )


def iterate(address: str, project: str, count: int) -> dict[str, float]:
    """Read `count` documents with `iterator()` in a separate process; seconds, and peak memory in MB."""
    done = subprocess.run(  # noqa: S603 - own interpreter, own module
        [sys.executable, "-m", __spec__.name, "--address", address, "--project", project, "--only-iterate", str(count)],
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def fill(count: int) -> None:
    """Create `count` documents."""
    from .models import Item

    for start in range(Item.objects.count(), count, BULK):
        size = min(BULK, count - start)
        Item.objects.bulk_create([Item(user_id="u", text_content="x" * 200) for _ in range(size)])


def only_iterate(count: int) -> None:
    """The main function of the process of `iterate`."""
    from .models import Item

    started = time.perf_counter()
    found = sum(1 for _ in Item.objects.iterator(chunk_size=1000))
    assert found >= count
    json.dump({"documents": found, "seconds": time.perf_counter() - started, "peak_mb": peak_mb()}, sys.stdout)


def peak_mb() -> float:
    """Peak memory of this process. `getrusage` would include the parent's memory before `exec`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def report(
    results: Sequence[Result], iterated: dict[str, float] | None, sides: tuple[str, str] = ("engine", "SDK")
) -> str:
    """Format the results as a table."""
    lines = [f"{'':48} {sides[0]:>9} {sides[1]:>9}        {'ratio':>6} {'bar':>5}"]
    for one in results:
        figures = f"{one.engine:8.3f}s {one.sdk:8.3f}s {one.unit:>5} {one.ratio:7.2f}x {one.bar:4.2f}x"
        lines.append(f"{one.name:48} {figures} {'' if one.met else ' MISSED'}")
    if iterated:
        missed = "" if iterated["peak_mb"] <= MEMORY_LIMIT else " MISSED"
        what = f"iterator() over {iterated['documents']:,}"
        lines.append(f"{what:48} {iterated['seconds']:8.1f}s {iterated['peak_mb']:6.0f} MB of {MEMORY_LIMIT}{missed}")
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The engine against google-cloud-firestore.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", metavar="WORD", help="only the contests whose name has it, as create()")
    parser.add_argument("--iterate", type=int, default=0, metavar="COUNT", help="also iterate over COUNT documents")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--project", help=argparse.SUPPRESS)
    parser.add_argument("--only-iterate", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    address = given.address or emulator.emulator(f"bench-{uuid.uuid4().hex[:8]}")
    project = given.project or f"bench-{uuid.uuid4().hex[:8]}"
    configure(address, project)
    if given.only_iterate:
        only_iterate(given.only_iterate)
        return 0
    os.environ["FIRESTORE_EMULATOR_HOST"] = address  # the SDK finds the emulator only by this
    warnings.filterwarnings("ignore", module="google")
    from google.cloud import firestore

    client = firestore.Client(project=project)
    chosen = (contest for contest in contests(client.collection("items"), client) if given.only in contest.name)
    results = [measure(contest, given.rounds) for contest in chosen]
    iterated = None
    if given.iterate:
        fill(given.iterate)
        iterated = iterate(address, project, given.iterate)
    sys.stdout.write(report(results, iterated) + "\n")
    if given.json:
        figures = {"results": [asdict(one) for one in results], "iterated": iterated}
        Path(given.json).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    met = all(one.met for one in results) and (iterated is None or iterated["peak_mb"] <= MEMORY_LIMIT)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
