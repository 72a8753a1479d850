"""Processes run random transactions of reads and appends over a few keys; what they saw must be serializable.

    python -m tests.soak.serializability --seconds 60 --processes 8

Calls fail on the way and processes are killed. `tests/serializability` has the checker. The emulator is the gcloud
SDK's, or FIRESTORE_EMULATOR_HOST.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.serializability.checker import check
from tests.serializability.history import Append, Operation, Read, Status, Transaction

from .fleet import Fleet, Journal, Outcome, Plan, configure, main

KEYS = tuple("abcdefgh")
STATUSES = {"Contention": Status.FAILED, "OperationalError": Status.UNKNOWN, "OutcomeUnknown": Status.UNKNOWN}


def run(plan: Plan) -> Outcome:
    """Run the soak; `wrong` names the anomalies."""
    fleet = Fleet("tests.soak.serializability", plan)
    configure(fleet.address, fleet.project)
    from .models import Cell

    Cell.objects.bulk_create(Cell(id=key) for key in KEYS)
    for _ in fleet.run():
        pass
    transactions = [transaction for life, events in fleet.journals() for transaction in transactions_of(life, events)]
    now = time.monotonic()
    last = tuple(Read(cell.pk, tuple(cell.values)) for cell in Cell.objects.order_by("pk"))
    transactions.append(Transaction(0, 0, now, now, last))
    outcome = fleet.outcome
    outcome.counts.update(f"transactions {transaction.status}" for transaction in transactions)
    outcome.counts["reads"] = sum(1 for transaction in transactions for _ in transaction.reads)
    outcome.counts["appends"] = sum(len(read.values) for read in last)
    if not outcome.counts["appends"]:
        outcome.wrong.append("nothing was appended: this proves nothing")
    outcome.wrong += [f"{anomaly.kind}: {anomaly.text}" for anomaly in check(transactions)]
    return outcome


def transactions_of(process: int, events: list[dict[str, Any]]) -> Iterator[Transaction]:
    """A process' transactions; for one cut off by a kill, the values that it was about to append."""
    ends = {event["id"]: event for event in events if "status" in event}
    for event in events:
        if "status" in event:
            continue
        end = ends.get(event["id"], {"status": Status.UNKNOWN, "at": event["at"], "operations": event["operations"]})
        operations = tuple(_operation(*parts) for parts in end["operations"])
        yield Transaction(event["id"], process, event["at"], end["at"], operations, Status(end["status"]))


def _operation(verb: str, key: str, value: Any) -> Operation:
    return Append(key, value) if verb == "append" else Read(key, tuple(value or ()))


@dataclass
class Worker:
    """One of the processes."""

    number: int
    random: random.Random
    journal: Journal
    made: int = 0

    def run(self) -> None:
        """Transactions, one after the other."""
        from django.db import OperationalError

        from memory.backends.firestore.transaction import run_in_transaction

        while not self.journal.is_over:
            self.made += 1
            id = self.number * 1_000_000 + self.made
            planned = self.plan(id)
            self.journal.note(id=id, at=time.monotonic(), operations=planned)
            status, operations = Status.OK, planned
            try:
                operations = run_in_transaction(lambda planned=planned: self.perform(planned))  # type: ignore[misc]
            except OperationalError as error:
                status = STATUSES[type(error).__name__]
            self.journal.note(id=id, at=time.monotonic(), status=status, operations=operations)

    def plan(self, id: int) -> list[list[Any]]:
        """The operations of a transaction: verb, key, and the value to append."""
        steps = range(self.random.choice([1, 1, 2, 2, 3]))
        kinds = self.random.choices(["append", "read", "read all"], [10, 9, 1], k=len(steps))
        return [
            [kind, self.random.choice(KEYS), id * 10 + step if kind == "append" else None]
            for step, kind in zip(steps, kinds, strict=True)
        ]

    def perform(self, planned: list[list[Any]]) -> list[list[Any]]:
        """Execute it by one of the ORM's ways; return the appended and read values."""
        from .models import Cell

        done: list[list[Any]] = []
        for verb, key, value in planned:
            if verb == "append":
                rows = Cell.objects.select_for_update() if self.random.random() < 0.5 else Cell.objects
                cell = rows.get(pk=key)
                cell.values.append(value)
                cell.save(update_fields=["values"])
                done.append([verb, key, value])
            elif verb == "read all":
                done += [["read", cell.pk, cell.values] for cell in Cell.objects.order_by("pk")]
            elif self.random.random() < 0.5:
                done.append([verb, key, Cell.objects.get(pk=key).values])
            else:
                done += [
                    [verb, key, values]
                    for values in Cell.objects.filter(id__gte=key, id__lte=key).values_list("values", flat=True)
                ]
        return done


def work(number: int, chance: random.Random, journal: Journal) -> None:
    """One process."""
    Worker(number, chance, journal).run()


if __name__ == "__main__":
    sys.exit(main(__doc__, run, work))
