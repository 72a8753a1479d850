"""Processes move money among accounts, and none is ever made or lost.

    python -m tests.soak.money --seconds 60 --processes 8

Calls fail on the way and processes are killed. What must hold:

- every snapshot of all accounts, in a read-only transaction, has the same sum;
- in the end a move that was acknowledged is there, one that was refused is not, and the balances are what the moves
  make of them;
- no lock is left behind, but those of processes that were killed, and these no longer than the server keeps them.

The emulator is the gcloud SDK's, or FIRESTORE_EMULATOR_HOST.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .fleet import LOCK_SECONDS, Fleet, Journal, Outcome, Plan, configure, main

ACCOUNTS = tuple(f"account-{number:02}" for number in range(50))
BALANCE = 1_000
SUM = BALANCE * len(ACCOUNTS)
FREE_SECONDS = 20.0
"""How long a write of an account that nobody has locked may take on a busy machine."""


def run(plan: Plan) -> Outcome:
    """Run the soak; `wrong` lists the violations."""
    fleet = Fleet("tests.soak.money", plan)
    configure(fleet.address, fleet.project)
    from .models import Account

    Account.objects.bulk_create(Account(id=id, balance=BALANCE) for id in ACCOUNTS)
    outcome = fleet.outcome
    for _ in fleet.run():
        outcome.counts["snapshots"] += 1
        outcome.wrong += [f"a snapshot has {total}, not {SUM}" for total in snapshots() if total != SUM]
    longest = seconds_until_free(ACCOUNTS)
    since_kill = time.monotonic() - outcome.last_kill
    outcome.counts["seconds until the last lock was gone"] = round(longest)
    if longest > FREE_SECONDS and (not outcome.kills or since_kill > LOCK_SECONDS + FREE_SECONDS):
        outcome.wrong.append(
            f"an account was locked for {longest:.0f} s after the end, {since_kill:.0f} s after a kill"
        )
    _compare(outcome, {event["id"]: event["outcome"] for _, events in fleet.journals() for event in events})
    return outcome


def snapshots() -> Iterator[int]:
    """The sum of all balances: by one query, and by two in one read-only transaction."""
    from django.db import connection

    from memory.backends.firestore.query.plan import Compare, Op, Query
    from memory.backends.firestore.rpc import channel, messages
    from memory.backends.firestore.rpc.codec import row_decoder
    from memory.backends.firestore.values.types import Kind, Ref

    from .models import Account

    yield sum(Account.objects.values_list("balance", flat=True))
    wire = channel.connect(channel.target(connection.settings_dict))
    begin = channel.pb["BeginTransactionRequest"](database=wire.database)
    begin.options.read_only.SetInParent()
    transaction = wire.unary("BeginTransaction", begin, 10).transaction
    columns = (Ref(("balance",), Kind.INTEGER),)
    total = 0
    for op in (Op.LT, Op.GE):
        half = Query(Account._meta.db_table, columns, Compare(Ref(("id",), Kind.TEXT), op, ACCOUNTS[25]))
        request = messages.run_query(half, wire.documents, transaction=transaction)
        with wire.stream("RunQuery", request, 10) as read:
            while (answer := read()) is not None:
                total += row_decoder(columns)(answer.document)[0] if answer.HasField("document") else 0
    yield total


def seconds_until_free(ids: tuple[str, ...]) -> float:
    """How long it takes until each of these accounts could be written, all tried at once."""
    from django.db import OperationalError, close_old_connections

    from .models import Account

    def write(id: str) -> float:
        started = time.monotonic()
        while time.monotonic() - started < 2 * LOCK_SECONDS:
            try:
                Account.objects.filter(pk=id).update(note="free")
                break
            except OperationalError:  # a lock stands: asked again until none does
                continue
            finally:
                close_old_connections()
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as pool:
        return max(pool.map(write, ids))


def _compare(outcome: Outcome, outcomes: Mapping[str, str]) -> None:
    """Compare the stored accounts and moves with each other, and with the outcomes that processes noted."""
    from .models import Account, Move

    outcome.counts.update(outcomes.values())
    if "done" not in outcomes.values():
        outcome.wrong.append("no money was moved: this proves nothing")
    moves = {move.pk: move for move in Move.objects.iterator()}
    balances = Counter(dict.fromkeys(ACCOUNTS, BALANCE))
    for move in moves.values():
        balances[move.source] -= move.amount
        balances[move.target] += move.amount
    for id, balance in Account.objects.values_list("pk", "balance"):
        if balance != balances[id]:
            outcome.wrong.append(f"{id} has {balance}, and {balances[id]} by its moves")
    outcome.wrong += [f"{id} was never begun" for id in moves if id not in outcomes]
    outcome.wrong += [
        f"{id} was acknowledged and is gone" for id in outcomes if outcomes[id] == "done" and id not in moves
    ]
    outcome.wrong += [f"{id} was refused and is there" for id in outcomes if outcomes[id] == "refused" and id in moves]


@dataclass
class Worker:
    """One of the processes."""

    number: int
    random: random.Random
    journal: Journal

    def run(self) -> None:
        """Moves, one after the other."""
        from django.db import OperationalError

        from memory.backends.firestore.errors import Contention
        from memory.backends.firestore.transaction import run_in_transaction

        made = 0
        while not self.journal.is_over:
            made += 1
            id = f"{self.number}-{made}"
            source, target = self.random.sample(ACCOUNTS, 2)
            way = self.random.choice((self.by_instances, self.by_locks, self.by_query, self.by_increments))
            self.journal.note(id=id, outcome="begun")
            try:
                run_in_transaction(_bound(way, id, source, target, self.random.randint(1, 20)))
            except Contention:
                self.journal.note(id=id, outcome="refused")
            except OperationalError:
                self.journal.note(id=id, outcome="unknown")
            else:
                self.journal.note(id=id, outcome="done")

    def by_instances(self, id: str, source: str, target: str, amount: int) -> None:
        """Each account read by its key, changed and saved."""
        from .models import Account, Move

        for key, change in ((source, -amount), (target, amount)):
            account = Account.objects.get(pk=key)
            account.balance += change
            account.save()
        Move.objects.create(id=id, source=source, target=target, amount=amount)

    def by_locks(self, id: str, source: str, target: str, amount: int) -> None:
        """Both read for update at once, and saved together."""
        from .models import Account, Move

        accounts = Account.objects.select_for_update().in_bulk([source, target])
        accounts[source].balance -= amount
        accounts[target].balance += amount
        Move.objects.create(id=id, source=source, target=target, amount=amount)
        Account.objects.bulk_update(accounts.values(), ["balance"])

    def by_query(self, id: str, source: str, target: str, amount: int) -> None:
        """Found by a query, the second one when the first is written already."""
        from .models import Account, Move

        first = Account.objects.filter(id__gte=source).order_by("id")[0]
        first.balance -= amount
        first.save(update_fields=["balance"])
        second = Account.objects.filter(id__gte=target, id__lte=target).get()
        Account.objects.filter(pk=second.pk).update(balance=second.balance + amount)
        Move.objects.create(id=id, source=source, target=target, amount=amount)

    def by_increments(self, id: str, source: str, target: str, amount: int) -> None:
        """Added to by the database, without being read here."""
        from django.db.models import F

        from .models import Account, Move

        Move.objects.create(id=id, source=source, target=target, amount=amount)
        Account.objects.filter(pk=source).update(balance=F("balance") - amount)
        Account.objects.filter(pk=target).update(balance=F("balance") + amount)


def _bound(way: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: way(*arguments)


def work(number: int, chance: random.Random, journal: Journal) -> None:
    """One process."""
    Worker(number, chance, journal).run()


if __name__ == "__main__":
    sys.exit(main(__doc__, run, work))
