"""A step of a LangGraph agent, beside langgraph-checkpoint-firestore: one emulator, one run, in turns.

    python -m benchmarks.checkpoints [--steps N]

A step is `put`, `put_writes` of two tasks, and `get_tuple` of the latest checkpoint. Needs the packages of
requirements-adapters.txt and langgraph-checkpoint-firestore==0.4.0. Wall time is measured without a proxy, documents
and calls through one that counts what Firestore bills.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import django
from django.conf import settings

from memory.testing import emulator
from tests.faults.meter import Meter

PROJECT = f"steps-{uuid.uuid4().hex[:8]}"
WRITES = [("messages", ["said " * 20]), ("branch:to:tools", None), ("count", 1)]


def configure(address: str) -> None:
    """Both clients use the emulator at this address."""
    os.environ["FIRESTORE_EMULATOR_HOST"] = address
    engine = {"ENGINE": "memory.backends.firestore", "HOST": address, "PROJECT": PROJECT}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory"],
        DATABASES={"default": engine},
        MEMORY={"CACHE": None},
        USE_TZ=True,
    )
    django.setup()


def savers() -> dict[str, Any]:
    """The two checkpointers, with connections of their own."""
    from langgraph_checkpoint_firestore import FirestoreSaver

    from memory.adapters.langgraph import DjangoSaver

    return {"orchestra-memory": DjangoSaver("ada"), "peer": FirestoreSaver(PROJECT, "peer")}


def step(saver: Any, config: Any, number: int) -> Any:
    """One step; the config of its checkpoint."""
    from langgraph.checkpoint.base import empty_checkpoint

    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": [f"message {one} " * 20 for one in range(number + 1)]}
    checkpoint["channel_versions"] = {"messages": number + 1}
    config = saver.put(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, {"messages": number + 1})
    for task in ("a", "b"):
        saver.put_writes(config, WRITES, f"task-{task}", "~__pregel_pull, x")
    found = saver.get_tuple({"configurable": {"thread_id": "bench", "checkpoint_ns": ""}})
    assert found.checkpoint["id"] == checkpoint["id"]
    assert len(found.pending_writes) == 2 * len(WRITES)
    return config


def measured(steps: int, observe: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Run steps of both in turns; `observe` runs each one."""
    both = savers()
    configs: dict[str, Any] = {name: {"configurable": {"thread_id": "bench", "checkpoint_ns": ""}} for name in both}
    for number in range(steps):
        for name, saver in both.items():
            configs[name] = observe(name, partial(step, saver, configs[name], number))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--bill", action="store_true", help="count documents and calls instead of the time")
    arguments = parser.parse_args()
    address = emulator.emulator(uuid.uuid4().hex)
    if arguments.bill:
        with Meter(address) as meter:
            configure(meter.address)
            measured(arguments.steps, lambda name, run: billed(meter, name, run))
        return
    configure(address)
    times: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    measured(arguments.steps, timed)
    ours, theirs = (statistics.median(found[5:]) for found in times.values())
    print(f"a step: {ours * 1000:.1f} ms, peer {theirs * 1000:.1f} ms, ratio {ours / theirs:.2f}")


def billed(meter: Meter, name: str, run: Callable[[], Any]) -> Any:
    """Run a step and print its bill."""
    meter.bill.clear()
    result = run()
    bill = meter.bill
    print(f"{name}: {sum(bill.calls.values())} calls, {bill.read} documents read, {len(bill.written)} written")
    return result


if __name__ == "__main__":
    main()
