"""The floors of the engine's `get()` and `create()`: gRPC's bare call, and Django's own part with it.

    python -m benchmarks.floors [--rounds 15]

All sides of a verb run in turns, in one process and on one emulator. A floor is Django's queryset or `save()` with a
compiler that sends one prebuilt message and returns one prebuilt row. Figures are the CPU time of the process for one
operation, and medians of the rounds' ratios to the client library.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

from memory.testing import emulator

from . import engine

SIDES = ("client library", "gRPC alone", "floor", "engine")
OPERATIONS = 100


def sides_of_get(wire: Any, collection: Any) -> Mapping[str, Callable[[], Any]]:
    """`get()` by primary key."""
    from django.db import connection
    from django.db.models.sql import compiler

    from memory.backends.firestore.rpc.channel import pb

    from .models import Item

    stored = Item.objects.create(text_content="what was said, " * 10, metadata={"role": "user", "n": 1})
    request = pb["GetDocumentRequest"](name=f"{wire.documents}/items/{stored.pk}")
    fields = Item._meta.concrete_fields
    row = [getattr(stored, field.attname) for field in fields]
    columns = [(field.get_col("items"), ("", ()), None) for field in fields]

    class Floor(compiler.SQLCompiler):
        def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
            self.select, self.col_count, self.annotation_col_map = columns, len(columns), {}
            self.klass_info = {"model": Item, "select_fields": list(range(len(columns)))}
            wire.unary("GetDocument", request, 60)
            return iter([[row]])

        def get_converters(self, expressions: Any) -> Any:
            return {}

    def get() -> Any:
        return Item.objects.get(pk=stored.pk)

    def compiler_of(name: str) -> type[Floor]:
        return Floor

    def floor() -> None:
        with mock.patch.object(connection.ops, "compiler", compiler_of):
            repeat(get)

    return {
        "client library": lambda: repeat(lambda: collection.document(stored.pk).get().to_dict()),
        "gRPC alone": lambda: repeat(lambda: wire.unary("GetDocument", request, 60)),
        "floor": floor,
        "engine": lambda: repeat(get),
    }


def sides_of_create(wire: Any, collection: Any) -> Mapping[str, Callable[[], Any]]:
    """`create()`. What has a prebuilt message writes the same document each time."""
    from django.db import connection
    from django.db.models.sql import compiler
    from django.utils import timezone

    from memory.backends.firestore.rpc.channel import pb

    from .models import Item, new_id

    def values() -> dict[str, Any]:
        return {
            "id": new_id(), "user_id": "ada", "session_id": "s", "timestamp": timezone.now(), "item_type": "message",
            "persona_active": "", "text_content": "what was said, " * 10, "metadata": {"role": "user", "n": 1},
            "expiration": None, "embedding": None,
        }  # fmt: skip

    request = pb["CommitRequest"](database=wire.database)
    stored = Item.objects.create(**values())
    found = wire.unary("GetDocument", pb["GetDocumentRequest"](name=f"{wire.documents}/items/{stored.pk}"), 60)
    request.writes.add().update.CopyFrom(pb["Document"](name=found.name, fields=found.fields))

    class Floor(compiler.SQLInsertCompiler):
        def execute_sql(self, returning_fields: Any = None) -> Any:
            wire.unary("Commit", request, 60)
            return []

    def create() -> Any:
        return Item.objects.create(**values())

    def compiler_of(name: str) -> type[Floor]:
        return Floor

    def floor() -> None:
        with mock.patch.object(connection.ops, "compiler", compiler_of):
            repeat(create)

    return {
        "client library": lambda: repeat(lambda: collection.document((made := values())["id"]).create(made)),
        "gRPC alone": lambda: repeat(lambda: wire.unary("Commit", request, 60)),
        "floor": floor,
        "engine": lambda: repeat(create),
    }


def repeat(one: Callable[[], Any]) -> None:
    """Run an operation `OPERATIONS` times."""
    for _ in range(OPERATIONS):
        one()


def measure(sides: Mapping[str, Callable[[], Any]], rounds: int) -> Mapping[str, list[float]]:
    """Seconds of CPU for one operation of each side, by round; the order is random in each."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(-1, rounds):
        for name in random.sample(SIDES, len(SIDES)):
            started = time.process_time()
            sides[name]()
            if number >= 0:  # the first round warms up
                seconds[name].append((time.process_time() - started) / OPERATIONS)
    return seconds


def report(verb: str, seconds: Mapping[str, list[float]]) -> str:
    """A line for each side: microseconds, and the ratio with its quartiles."""
    lines = []
    for name in SIDES:
        ratios = [mine / theirs for mine, theirs in zip(seconds[name], seconds["client library"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        microseconds = statistics.median(seconds[name]) * 1e6
        lines.append(f"{verb:10} {name:16} {microseconds:6.0f} us {middle:6.2f} ({low:.2f} to {high:.2f})")
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The floors of the engine's verbs.")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    address, project = emulator.emulator(f"bench-{uuid.uuid4().hex[:8]}"), f"bench-{uuid.uuid4().hex[:8]}"
    engine.configure(address, project)
    os.environ["FIRESTORE_EMULATOR_HOST"] = address  # the SDK finds the emulator only by this
    warnings.filterwarnings("ignore", module="google")
    from django.db import connection
    from google.cloud import firestore

    from memory.backends.firestore.rpc import channel

    wire = channel.connect(channel.target(connection.settings_dict))
    collection = firestore.Client(project=project).collection("items")
    for verb, sides_of in (("get()", sides_of_get), ("create()", sides_of_create)):
        sys.stdout.write(report(verb, measure(sides_of(wire, collection), given.rounds)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
